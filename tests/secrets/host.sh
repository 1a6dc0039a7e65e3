# A host that shows the password it was given in every way that it can. It finds out as well what those who
# log in leave around: its own environment, and what started it.
# $1: how the login goes; $2: a folder for what it finds.
cat /proc/$$/environ /proc/$$/cmdline /proc/$PPID/cmdline >"$2/host"
back=$(printf '\b')
escape=$(printf '\033')

forms() {
    printf 'Dear %s, you have typed "%s".\n' "$user" "$secret"
    printf '%s\n' "$secret" | tr a-z A-Z
    printf '%s\n' "$secret" | sed 's/./&*/g'
    printf '%s\n' "$secret" | sed "s/./&$back*/g"
    printf '%s\n' "$secret" | sed "s/./&$back $back/g"
    printf '%s\n' "$secret" | sed "s/./&$escape[7m/g"
    printf '%s' "$secret" | cut -c1-5
    printf '%s' "$secret" | cut -c6-
}

stty -echo
printf 'host login: '
read -r user
printf '%s\nPassword: ' "$user"
read -r secret
case "$1" in
shell)
    printf '%s\n' "$secret" # where it was typed
    forms
    stty echo
    PS1="($secret)$ " exec sh -i
    ;;
refused)
    printf '\n'
    forms
    printf '%s: Login incorrect\nhost login: ' "$secret"
    read -r _
    ;;
expired)
    printf '\n'
    forms
    printf 'Your password %s has expired.\nNew password: ' "$secret"
    read -r _
    ;;
echo-cut-off) printf '%s' "$secret" | cut -c1-9 | tr -d '\n' ;;
echo-damaged) printf '%s' "$secret" | sed 's/a/~/' ;;
half-a-line) printf '\nwelcome %s' "$secret" ;;
menu)
    printf '\n'
    forms
    printf '%s> ' "$secret"
    read -r _
    printf '\nThe menu of %s has ended for you.\n' "$secret"
    ;;
esac
