//! The simulated host as a pipe: its own login prompt, and a real `/bin/sh` behind it.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::getty::{Getty, GettyStep};
use super::host::Host;
use crate::line::exec::{ExecLine, ExecSettings};
use crate::secret::Secret;

/// Who can log in on the simulated host, and where the mail is.
#[derive(Debug, Clone)]
pub struct FrontOptions {
    /// What the host calls itself.
    pub hostname: String,
    /// The user.
    pub user: String,
    /// The user's password.
    pub password: Secret,
    /// The user's home.
    pub home: PathBuf,
    /// The user's mailbox: `$MAIL`.
    pub mailbox: PathBuf,
    /// Hang up on a caller who has logged in, to call back: only a call that the host made itself
    /// gets a shell.
    pub calls_back: bool,
    /// Where programs are looked for; a short one makes a host that lacks `sz`.
    pub path: String,
}

/// A host that asks for a name and a password and then runs `/bin/sh`, anew for every call.
pub fn host(options: FrontOptions) -> Host {
    Host::Spawn(Box::new(move |number| {
        let hangs_up = options.calls_back && !number.is_empty();
        Ok(Box::new(Front::new(options.clone(), hangs_up)))
    }))
}

struct Front {
    options: FrontOptions,
    getty: Getty,
    shell: Option<ExecLine>,
    /// What the prompt has said and nobody has read.
    said: VecDeque<u8>,
    ended: bool,
    /// This call ends as soon as someone has logged in.
    hangs_up: bool,
    timer: Option<Pin<Box<Sleep>>>,
    reader: Option<Waker>,
}

impl Front {
    fn new(options: FrontOptions, hangs_up: bool) -> Self {
        let issue = format!("{} (simulated)\n\n", options.hostname);
        let accounts = vec![(options.user.clone(), options.password.clone())];
        Self {
            getty: Getty::new(&options.hostname, &issue, accounts),
            options,
            shell: None,
            said: VecDeque::new(),
            ended: false,
            hangs_up,
            timer: None,
            reader: None,
        }
    }

    /// Lets the prompt speak until it waits.
    fn settle(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        while self.shell.is_none() && !self.ended {
            match self.getty.poll(now()) {
                GettyStep::Transmit(bytes) => self.said.extend(bytes),
                GettyStep::LoggedIn(_) if self.hangs_up => {
                    self.said.extend(b"\r\nCalling you back.\r\n");
                    self.ended = true;
                }
                GettyStep::LoggedIn(user) => self.begin_session(&user)?,
                GettyStep::HangUp => self.ended = true,
                GettyStep::Wait(deadline) => {
                    self.reader = Some(context.waker().clone());
                    let Some(at) = deadline else { return Ok(()) };
                    let mut timer = Box::pin(tokio::time::sleep_until(at.into()));
                    let passed = timer.as_mut().poll(context).is_ready();
                    self.timer = Some(timer);
                    if !passed {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    fn begin_session(&mut self, user: &str) -> io::Result<()> {
        let options = &self.options;
        self.said.extend(format!("\r\nWelcome to {}. You have mail.\r\n", options.hostname).bytes());
        let variables = [
            ("HOME", options.home.clone().into_os_string()),
            ("MAIL", options.mailbox.clone().into_os_string()),
            ("USER", user.into()),
            ("LOGNAME", user.into()),
            ("SHELL", "/bin/sh".into()),
            ("PATH", options.path.clone().into()),
            ("PS1", format!("{user}@{}$ ", options.hostname).into()),
        ];
        let env = variables.into_iter().map(|(name, value)| (name.into(), value)).collect();
        let folder = Some(options.home.clone()); // where login(1) puts its user
        let settings = ExecSettings { clean_env: true, env, folder, ..ExecSettings::new(["/bin/sh"]) };
        self.shell = Some(ExecLine::spawn(&settings).map_err(io::Error::other)?);
        Ok(())
    }
}

impl AsyncRead for Front {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.settle(context)?;
        if !self.said.is_empty() {
            let count = self.said.len().min(into.remaining());
            let bytes: Vec<u8> = self.said.drain(..count).collect();
            into.put_slice(&bytes);
            return Poll::Ready(Ok(()));
        }
        let ended = self.ended;
        match &mut self.shell {
            Some(shell) => Pin::new(shell).poll_read(context, into),
            None if ended => Poll::Ready(Ok(())),
            None => Poll::Pending,
        }
    }
}

impl AsyncWrite for Front {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.shell {
            Some(shell) => Pin::new(shell).poll_write(context, bytes),
            None => {
                self.getty.handle_input(now(), bytes);
                if let Some(reader) = self.reader.take() {
                    reader.wake();
                }
                Poll::Ready(Ok(bytes.len()))
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[allow(clippy::disallowed_methods)] // a host in real time: here the simulated world begins
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
