//! `mailcall demo`: a whole call on a machine with no modem, no lrzsz and no configuration.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::sim::{PATH_DEFAULT, SAMPLE, Scratch, cannot};
use super::{Global, fetch, list};
use crate::access::Location;
use crate::config::{
    AccountConfig, Calling, Config, Deliver, LineConfig, LineKind, PortConfig, SerialPort, TransferChoice,
    Way,
};
use crate::modem::Profile;
use crate::secret::Secret;
use crate::session::by_shell::ByShell;
use crate::session::{Ending, Failure, Stage};
use crate::sim::dce::DceOptions;
use crate::sim::front::{self, FrontOptions};
use crate::sim::serve::{Sim, SimOptions};
use crate::sim::wire::LineQuality;

#[derive(Debug, clap::Args)]
#[command(after_help = "Everything happens in one new folder, which is named at the end.")]
pub(super) struct Args {
    /// Put the mail into this new folder [default: mailcall-demo-N in the temporary folder]
    #[arg(long, value_name = "DIR")]
    into: Option<PathBuf>,
}

pub(super) fn run(global: &Global, args: &Args) -> Result<Ending, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(cannot)?;
    runtime.block_on(demo(global, args))
}

async fn demo(global: &Global, args: &Args) -> Result<Ending, Failure> {
    let into = new_folder(args.into.as_deref())?;
    let host_side = Scratch::new().map_err(cannot)?;
    let mailbox = host_side.path().join("mary");
    std::fs::write(&mailbox, SAMPLE).map_err(cannot)?;
    let sim = Sim::start(SimOptions {
        modem: DceOptions {
            quality: LineQuality { bps: Some(LINE_RATE), latency: LATENCY, bit_error_rate: 0.0 },
            connect_text: format!("CONNECT {LINE_RATE}/V34/LAPM"),
            ..DceOptions::default()
        },
        host: front::host(FrontOptions {
            hostname: "fieldhost".to_owned(),
            user: "mary".to_owned(),
            password: Secret::new(PASSWORD.to_owned()),
            home: host_side.path().to_owned(),
            mailbox,
            calls_back: false,
            path: std::env::var("PATH").unwrap_or_else(|_| PATH_DEFAULT.to_owned()),
        }),
        link: None,
    })
    .map_err(cannot)?;
    let tell = |text: &str| {
        if !global.json && !global.quiet {
            println!("{}", super::wrapped(text));
        }
    };
    tell(&format!(
        "A simulated modem is on {}, with a {LINE_RATE} bit/s line and a host behind it: a login prompt \
         and a real /bin/sh that has nothing of mailcall installed. Calling it now.\n",
        sim.device().display()
    ));
    let (config, account) = configuration(sim.device(), &into);
    let state = into.join("state");
    let store_at = Global { state: Some(state), ..global.clone() };
    let mut store = fetch::open_store(&store_at, &account, NAME)?;
    let location = Location::Default;
    let password = Some(Secret::new(PASSWORD.to_owned()));
    let call = fetch::Call { global: &store_at, config: &config, name: NAME, account: &account, password };
    let (went, report) = fetch::in_call(call, async |session| {
        let mut mailbox = ByShell::new(session, &location, account.transfer);
        let listed = crate::session::list::list(&mut mailbox, &mut store).await?;
        let fetched = crate::session::fetch::fetch(&mut mailbox, &mut store).await?;
        Ok((listed, fetched))
    })
    .await;
    let listed = went.as_ref().map(|(listed, _)| listed.clone()).unwrap_or_default();
    let went = went.map(|(_, fetched)| fetched);
    sim.stop().await;
    let told = super::report::Report::new(NAME, &went, &report);
    if global.json {
        println!("{}", told.json());
        return went.map(|_| Ending::Done);
    }
    let fetched = went?;
    tell("The mailbox as the host listed it, before any of it was carried:\n");
    if !global.quiet {
        list::print(global, NAME, &listed);
    }
    tell(&format!("\n{}", told.sentence()));
    let seconds = report.call_time.as_secs_f64();
    tell(&format!(
        "\nWhat happened: the modem was dialled ({}), mary logged in, the login shell became a quiet sh, \
         the host proved what its mailbox holds, {} bytes of mail were carried{} and proven once more, \
         each message was put on disk, and the modem was hung up. The call took {seconds:.0} s.\n\n\
         The mail is in a Maildir, which any mail reader opens:\n\
         \x20 mutt -f {mail}\n\n\
         What to do next:\n\
         \x20 mailcall demo -v        the same with the dialogue shown\n\
         \x20 mailcall sim --help     a modem on a line: slow, noisy, cut off\n\
         \x20 docs/configuration.md   to call your own host",
        report.connect.as_ref().map_or("no CONNECT", |connect| &connect.text),
        fetched.bytes_mail,
        super::report::carried(fetched.transfer),
        mail = into.join("Mail").display(),
    ));
    Ok(Ending::Done)
}

/// A folder that was not there before: the demo touches nothing else.
fn new_folder(wanted: Option<&Path>) -> Result<PathBuf, Failure> {
    use std::os::unix::fs::DirBuilderExt;
    let make = |path: &Path| std::fs::DirBuilder::new().mode(0o700).create(path);
    if let Some(path) = wanted {
        make(path).map_err(|error| {
            let message =
                format!("cannot make the folder {}: {error}; name one that is not there yet", path.display());
            Failure::new(Ending::LocalDisk, Stage::Preparing, message)
        })?;
        return std::path::absolute(path).map_err(cannot);
    }
    let base = std::env::temp_dir();
    for number in 1..=DEMO_FOLDERS_MAX {
        let path = base.join(format!("mailcall-demo-{number}"));
        match make(&path) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(cannot(error)),
        }
    }
    Err(cannot(format!("{} has {DEMO_FOLDERS_MAX} folders of earlier demos; remove some", base.display())))
}

fn configuration(device: &Path, into: &Path) -> (Config, AccountConfig) {
    let settings = PortConfig { speed: PORT_SPEED, ..PortConfig::default() };
    let kind = LineKind::Serial(SerialPort { device: device.to_owned(), settings });
    let line = LineConfig::new(kind, Profile::builtin("generic"));
    let account = AccountConfig {
        lines: vec!["demo".to_owned()],
        phones: vec!["555 1212".to_owned()],
        calling: Calling::WeCall,
        login: None,
        user: Some("mary".to_owned()),
        password: None,
        otp: None,
        way: Way::default(),
        mailbox: None,
        deliver: Some(Deliver::Maildir(into.join("Mail"))),
        keep: true,
        transfer: TransferChoice::Auto,
        redial: None,
    };
    let config = Config {
        lines: BTreeMap::from([("demo".to_owned(), line)]),
        accounts: BTreeMap::from([(NAME.to_owned(), account.clone())]),
        ..Config::default()
    };
    (config, account)
}

const NAME: &str = "demo";
const PASSWORD: &str = "open-sesame";
/// The line, in bits a second: V.34.
const LINE_RATE: u32 = 33_600;
/// One way.
const LATENCY: Duration = Duration::from_millis(50);
/// Between computer and modem, in bits a second.
const PORT_SPEED: u32 = 57_600;
/// Folders of earlier demos that are stepped over.
const DEMO_FOLDERS_MAX: u32 = 999;
