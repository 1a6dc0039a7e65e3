//! The way out of a call that no command line can ask for: a defect of ours in the middle of it.

use std::collections::BTreeMap;

use mailcall::config::{
    AccountConfig, Config, ExecCommand, LineConfig, LineKind, PortConfig, SerialPort, TransferChoice,
};
use mailcall::modem::{FlowChoice, Profile};
use mailcall::secret::Secret;
use mailcall::session::call::{CallPlan, call};
use mailcall::session::transcript::Transcript;
use mailcall::session::{Ending, Failure};
use mailcall::sim::dce::{DceOptions, Hook};
use mailcall::sim::front::{self, FrontOptions};
use mailcall::sim::serve::{Sim, SimOptions};
use nix::sys::termios::{ControlFlags, SetArg, tcgetattr, tcsetattr};

fn simulator(home: &std::path::Path) -> Sim {
    let options = FrontOptions {
        hostname: "fieldhost".into(),
        user: "mary".into(),
        password: Secret::new("open-sesame".into()),
        home: home.to_owned(),
        mailbox: home.join("mary"),
        calls_back: false,
        path: std::env::var("PATH").unwrap(),
    };
    let modem = DceOptions { ring_delay: std::time::Duration::ZERO, ..DceOptions::default() };
    Sim::start(SimOptions { modem, host: front::host(options), link: None }).unwrap()
}

fn plan(sim: &Sim) -> CallPlan {
    let settings = PortConfig { flow: FlowChoice::None, ..PortConfig::default() };
    let kind = LineKind::Serial(SerialPort { device: sim.device().to_owned(), settings });
    plan_over(LineConfig::new(kind, Profile::builtin("generic")))
}

fn plan_over(line: LineConfig) -> CallPlan {
    let account = AccountConfig {
        keep: true,
        lines: vec!["sim".into()],
        calling: mailcall::config::Calling::WeCall,
        phones: vec!["5551212".into()],
        user: Some("mary".into()),
        password: None,
        otp: None,
        login: None,
        way: mailcall::config::Way::default(),
        mailbox: None,
        deliver: None,
        transfer: TransferChoice::Auto,
        redial: None,
    };
    let config = Config { lines: BTreeMap::from([("sim".into(), line)]), ..Config::default() };
    CallPlan::new(&config, &account, Some(Secret::new("open-sesame".into())), 7)
}

#[tokio::test]
async fn a_panic_in_mid_call_leaves_the_modem_on_hook() {
    let home = tempfile::tempdir().unwrap();
    let sim = simulator(home.path());
    let mut was_online = false;
    let (went, report): (Result<(), Failure>, _) = call(
        &plan(&sim),
        Transcript::silent(),
        &mut |_| {},
        async || std::future::pending().await,
        async |_| {
            was_online = sim.hook() == Hook::Online;
            panic!("a defect, put in by a test");
        },
    )
    .await;
    assert!(was_online);
    let failure = went.unwrap_err();
    assert_eq!(failure.ending, Ending::Bug);
    assert!(failure.message.contains("a defect, put in by a test"), "{failure}");
    assert_eq!(report.off_hook, None);
    assert!(sim.is_on_hook());
}

#[tokio::test]
async fn a_failure_in_the_shell_leaves_the_modem_on_hook_too() {
    let home = tempfile::tempdir().unwrap();
    let sim = simulator(home.path());
    let (went, report): (Result<(), Failure>, _) = call(
        &plan(&sim),
        Transcript::silent(),
        &mut |_| {},
        async || std::future::pending().await,
        async |_| {
            Err(Failure::new(Ending::LocalDisk, mailcall::session::Stage::Transfer, "the disk is full"))
        },
    )
    .await;
    assert_eq!(went.unwrap_err().ending, Ending::LocalDisk);
    assert_eq!(report.off_hook, None);
    assert!(sim.is_on_hook());
}

#[tokio::test]
async fn a_panic_in_mid_call_leaves_the_port_as_it_was_found() {
    let home = tempfile::tempdir().unwrap();
    let sim = simulator(home.path());
    let port = mailcall::line::pty::open_slave(sim.device()).unwrap();
    let mut odd = tcgetattr(&port).unwrap();
    odd.control_flags.insert(ControlFlags::CSTOPB);
    tcsetattr(&port, SetArg::TCSANOW, &odd).unwrap();
    let found = tcgetattr(&port).unwrap();
    let (went, _): (Result<(), Failure>, _) = call(
        &plan(&sim),
        Transcript::silent(),
        &mut |_| {},
        async || std::future::pending().await,
        async |_| {
            assert_ne!(tcgetattr(&port).unwrap(), found, "it is in use");
            panic!("a defect, put in by a test");
        },
    )
    .await;
    assert!(went.unwrap_err().message.contains("put in by a test"));
    assert_eq!(tcgetattr(&port).unwrap(), found);
}

#[tokio::test]
async fn a_panic_in_mid_call_leaves_nothing_of_a_command() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pid");
    let script = format!("trap '' HUP TERM; echo $$ > {}; PS1='$ ' exec sh", file.display());
    let command = ["sh", "-c", &script].map(str::to_owned).into();
    let line = LineConfig::new(LineKind::Exec(ExecCommand::new(command)), None);
    let (went, _): (Result<(), Failure>, _) = call(
        &plan_over(line),
        Transcript::silent(),
        &mut |_| {},
        async || std::future::pending().await,
        async |_| panic!("a defect, put in by a test"),
    )
    .await;
    assert_eq!(went.unwrap_err().ending, Ending::Bug);
    let pid = std::fs::read_to_string(file).unwrap();
    assert!(!std::path::Path::new("/proc").join(pid.trim()).exists(), "gone and reaped");
}
