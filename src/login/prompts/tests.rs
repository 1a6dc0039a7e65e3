//! Prompts as real hosts write them, and lines that only look like them.

use super::{Prompt, is_asked_by_ssh, looks_like_question, prompt_look};

#[test]
fn prompts_for_a_user_name_are_known() {
    for line in [
        "debian login: ",                                         // Debian, Ubuntu, most of Linux
        "Ubuntu 24.04.1 LTS host ttyS0 host login: ",             // agetty with its issue on one line
        "localhost.localdomain login:",                           // RHEL
        "login: ",                                                // FreeBSD, NetBSD, OpenBSD, Solaris, HP-UX
        "FreeBSD/amd64 (beastie) (ttyu0) login: ",                // FreeBSD
        "beastie console login: ",                                // Solaris
        "AIX Version 7 login: ",                                  // AIX
        "IRIS login: ",                                           // IRIX
        "SCO OpenServer(TM) Release 5 (scosysv) (tty1A) login: ", // SCO
        "(none) login: ",                                         // BusyBox
        "OpenWrt login: ",
        "Username: ",       // VMS, Cisco
        "Username:",        // Annex
        "Enter username> ", // DECserver, Xyplex
        "Username>",
        "livingston login: ",       // Livingston PortMaster
        "pm3 host login: ",         // the same behind a rotary
        "Login:",                   // Ascend
        "Login name: ",             // Shiva
        "@ Userid: ",               // Shiva
        "User ID: ",                // CompuServe
        "User Name : ",             // Telebit NetBlazer
        "Please login: ",           // Rockwell
        "Please enter your name: ", // BBS
        "Account: ",
        "ACCOUNT NAME: ",
        "LOGIN: ", // getty that takes us for an upper-case terminal
        "ogin: ",  // the first letter was lost
        "user: ",
        "User Id:",
        "Your name? ",
        "Benutzername: ",
        "rechner Anmeldung: ",
        "Identifiant : ",
        "Nom d'utilisateur : ",
        "usuario: ",
        "Nome utente:",
        "Usuário:",
        "Gebruikersnaam: ",
        "Användarnamn: ",
        "Käyttäjätunnus:",
        "Имя пользователя: ",
        "用户名：",
    ] {
        assert_eq!(prompt_look(line), Some(Prompt::User), "{line:?}");
    }
}

#[test]
fn prompts_for_the_password_are_known() {
    for line in [
        "Password: ",
        "Password:", // the BSDs, Solaris
        "password: ",
        "PASSWORD:",
        "Passwd:",
        "mary's Password: ", // AIX
        "mary@host's password: ",
        "Password for mary@EXAMPLE.ORG: ", // Kerberos
        "Password for mary on host: ",
        "Enter password: ",
        "Enter password> ", // DECserver
        "Password? ",
        "Password [mary]: ",
        "Password (mary): ",
        "Enter passphrase: ",
        "Passwort: ",
        "Kennwort:",
        "Passwort für mary: ",
        "Mot de passe : ",
        "Mot de passe de mary : ",
        "Contraseña: ",
        "Contrase\u{a4}a: ", // code page 850, read as Latin-1
        "Contraseña para mary:",
        "Parola d'ordine:",
        "Senha: ",
        "Wachtwoord: ",
        "Lösenord: ",
        "Hasło: ",
        "Heslo:",
        "Jelszó: ",
        "Пароль: ",
        "パスワード: ",
        "密码：",
        "assword: ",
    ] {
        assert_eq!(prompt_look(line), Some(Prompt::Password), "{line:?}");
    }
}

#[test]
fn a_password_to_be_changed_is_not_a_password_to_be_typed() {
    for line in [
        "New password: ",
        "New UNIX password: ",
        "(current) UNIX password: ",
        "Current password: ",
        "Current Password for mary: ",
        "Old password:",
        "mary's New password: ", // AIX
        "mary's Old password: ",
        "Retype password: ",
        "Enter new password:",
        "login:New password: ", // the line end was lost
        "maryNew password: ",
        "Verification: ", // VMS
        "Neues Passwort: ",
        "Neues Passwort für mary: ",
        "Nouveau mot de passe : ",
        "Nueva contraseña: ",
        "New password (minimum of 8 characters, with at least one digit): ",
        "Enter your new password again: ",
        "Please repeat password:",
    ] {
        assert_eq!(prompt_look(line), Some(Prompt::ChangePassword), "{line:?}");
    }
}

#[test]
fn keys_pagers_and_terminal_types_are_known() {
    for (line, prompt) in [
        ("Please press Enter to activate this console. ", Prompt::PressReturn), // BusyBox askfirst
        ("Press RETURN to continue", Prompt::PressReturn),
        ("Press any key to continue ...", Prompt::PressReturn),
        ("[Press <Enter>]", Prompt::PressReturn),
        ("Hit return:", Prompt::PressReturn),
        ("Bitte Eingabetaste drücken", Prompt::PressReturn),
        ("Appuyez sur Entrée pour continuer", Prompt::PressReturn),
        ("--More--", Prompt::More),
        ("--More--(42%)", Prompt::More),
        ("(END)", Prompt::PagerEnd),
        ("TERM = (vt100) ", Prompt::TerminalType), // tset in a BSD .login
        ("TERM = (unknown)", Prompt::TerminalType),
        ("Terminal type? ", Prompt::TerminalType),
        ("Terminal type? [unknown] ", Prompt::TerminalType),
        ("Terminal type [vt100]: ", Prompt::TerminalType),
        ("TERMINAL=", Prompt::TerminalType), // X.25 PADs
    ] {
        assert_eq!(prompt_look(line), Some(prompt), "{line:?}");
    }
}

#[test]
fn shell_prompts_of_many_looks_are_known() {
    for line in [
        "$ ",
        "# ",
        "% ",
        "mary@host:~$ ",    // Debian
        "[mary@host ~]$ ",  // RHEL
        "mary@host:~> ",    // SuSE
        "-bash-4.2$ ",      // no profile
        "sh-5.1# ",         //
        "~ # ",             // BusyBox
        "root@OpenWrt:/# ", // OpenWrt
        "host% ",           // csh
        "host:/home/mary % ",
        "mary@beastie:~ $ ",
        "$",
        "mary@host ~> ", // fish
        "mary ❯ ",
        "➜  ~ ",
        "➜  ~ git:(main) ✗ ",
        "λ ",
        "Router>", // Cisco
        "Local> ", // DECserver
    ] {
        assert_eq!(prompt_look(line), Some(Prompt::Shell), "{line:?}");
    }
}

#[test]
fn what_only_looks_like_a_prompt_is_none() {
    for line in [
        "",
        "Last login: ",
        "Last failed login: ",
        "Letzte Anmeldung: ",
        "Dernière connexion : ",
        "Last login: Tue Mar  3 09:14:02 2026 from",
        "Your login is monitored",
        "Enter your user name and password:",
        "Forgot your password?",
        "[sudo] password for mary: ",
        "Give root password for maintenance: ",
        "Dialup Password: ",
        "Password will be asked for: ",
        "Host name: ",
        "Filename: ",
        "lo?in: ",
        "Passwo?d: ",
        "mylogin.example.org",
        "blogin: ",
        "Loading 42%",
        "100%",
        "host 1% ", // a csh prompt with history number cannot be told from progress
        "##########",
        "$$$$",
        "----->",
        "Connecting to host ...",
        "Choose (1-5): ",
    ] {
        assert_eq!(prompt_look(line), None, "{line:?}");
    }
    let long = format!("{} login:", "x".repeat(1000));
    assert_eq!(prompt_look(&long), None);
}

#[test]
fn a_damaged_prompt_still_looks_like_a_question() {
    assert!(looks_like_question("lo?in: "));
    assert!(!looks_like_question("Welcome to"));
}

#[test]
fn what_ssh_asks_on_this_machine_is_told_from_what_a_host_asks() {
    for line in [
        "Are you sure you want to continue connecting (yes/no/[fingerprint])? ",
        "Are you sure you want to continue connecting (yes/no)? ",
        "Please type 'yes', 'no' or the fingerprint: ",
        "Please type 'yes' or 'no': ",
    ] {
        assert_eq!(prompt_look(line), Some(Prompt::HostKey), "{line}");
    }
    for line in [
        "Enter passphrase for key '/home/mary/.ssh/id_ed25519': ",
        "Enter passphrase for /home/mary/.ssh/id_rsa: ",
        "Enter PIN for 'PIV_II (PIV Card Holder pin)': ",
        "Enter PIN for ED25519-SK key /home/mary/.ssh/id_ed25519_sk: ",
    ] {
        assert_eq!(prompt_look(line), Some(Prompt::KeyPassphrase), "{line}");
    }
    for line in
        ["mary@host.example.org's password: ", "(mary@host) Password: ", "(mary@host) Password for mary:"]
    {
        assert_eq!(prompt_look(line), Some(Prompt::Password), "{line}");
        assert!(is_asked_by_ssh(line), "{line}");
    }
    for line in ["Password: ", "mary's Password: ", "mail a@b for help. Password: ", "(C) 1984 X. Password: "]
    {
        assert!(!is_asked_by_ssh(line), "{line}");
    }
}

#[test]
fn prompts_for_a_one_time_code_are_no_password_prompts() {
    for line in [
        "Verification code: ",                   // libpam-google-authenticator
        "Password & verification code: ",        // the same with forward_pass
        "One-time password (OATH) for `mary': ", // libpam-oath
        "(mary@host) One-time password (OATH) for `mary': ",
        "(mary@host) Verification code: ",
        "Passcode or option (1-3): ", // Duo
        "Token: ",
        "Enter token code: ",
        "Response: ", // OPIE
        "otp-md5 487 dehoks Response: ",
        "S/Key Password: ",
        "YubiKey for `mary': ",
        "Authentication code: ",
        "Enter your 6-digit code: ",
        "Code: ",
        "Bestätigungscode: ",
        "Code de vérification : ",
    ] {
        assert_eq!(prompt_look(line), Some(Prompt::Code), "{line:?}");
    }
    for line in ["Enter PASSCODE: ", "Passcode:", "PASSCODE for mary: "] {
        assert_eq!(prompt_look(line), Some(Prompt::Passcode), "{line:?}"); // SecurID
    }
    for line in ["Area code: ", "Zip code:", "Your response was: none", "Tokens left: "] {
        assert_ne!(prompt_look(line), Some(Prompt::Code), "{line:?}");
    }
}
