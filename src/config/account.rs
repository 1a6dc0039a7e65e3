//! `[account.NAME]`: a mailbox, the lines and numbers to it, and where its mail goes.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;

use super::calling::{AnswerToml, DialBackToml, check_calling};
use super::login::{LoginToml, check_login};
use super::{
    AccountConfig, Calling, CodeSource, ConfigError, Deliver, LineConfig, LineKind, PasswordSource, Place,
    TransferChoice, Way,
};
use super::{dialling, expand_home, has_control};
use crate::modem::check_number;

/// An account, as the file has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AccountToml {
    line: Spanned<OneOrMore>,
    pub(super) phone: Option<Spanned<OneOrMore>>,
    pub(super) dial_back: Option<Spanned<DialBackToml>>,
    pub(super) answer: Option<Spanned<AnswerToml>>,
    user: Option<Spanned<String>>,
    password: Option<Spanned<PasswordSource>>,
    otp: Option<Spanned<CodeSource>>,
    login: Option<Spanned<LoginToml>>,
    mailbox: Option<Spanned<MailboxToml>>,
    deliver: Option<Spanned<DeliverToml>>,
    keep: Option<bool>,
    transfer: Option<Spanned<TransferChoice>>,
    redial: Option<Spanned<dialling::RedialToml>>,
}

#[derive(Deserialize, Clone)]
#[serde(untagged, expecting = "expected a text or a list of texts")]
pub(super) enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl OneOrMore {
    pub(super) fn list(&self) -> Vec<String> {
        match self {
            Self::One(one) => vec![one.clone()],
            Self::More(more) => more.clone(),
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a path, or { maildir = \"~/Maildir\" } on a line of kind \"file\"")]
enum MailboxToml {
    Path(String),
    Maildir(MaildirToml),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MaildirToml {
    maildir: String,
}

impl MailboxToml {
    fn path(&self) -> &str {
        match self {
            Self::Path(path) => path,
            Self::Maildir(MaildirToml { maildir }) => maildir,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "{ maildir = \"~/Mail/home\" } or { mbox = \"~/mail/home\" }")]
struct DeliverToml {
    maildir: Option<String>,
    mbox: Option<String>,
}

pub(super) fn check_account(
    name: &str,
    account: &Spanned<AccountToml>,
    lines: &BTreeMap<String, LineConfig>,
    place: &Place<'_>,
) -> Result<AccountConfig, ConfigError> {
    let raw = account.get_ref();
    let names = raw.line.get_ref().list();
    if names.is_empty() {
        return Err(place.wrong(raw.line.span(), "`line` is an empty list; name a line".to_owned()));
    }
    let phones = raw.phone.as_ref().map(|phone| phone.get_ref().list()).unwrap_or_default();
    let calling = check_calling(raw, &names, lines, place)?;
    let dials = !matches!(calling, Calling::HostCalls { .. });
    if let Some(redial) = raw.redial.as_ref().filter(|_| !dials) {
        let message = "`answer` waits for the host's call, so there is nothing to redial: remove `redial`";
        return Err(place.wrong(redial.span(), message.to_owned()));
    }
    for line in &names {
        let Some(known) = lines.get(line) else {
            let message = format!("account {name:?} uses line {line:?}, but there is no [line.{line}]");
            return Err(place.wrong(raw.line.span(), message));
        };
        if names.len() > 1 && matches!(known.kind, LineKind::File) {
            let message = format!(
                "line {line:?} is a path on this machine and always free, so it stands alone: \
                 account {name:?} has it beside others. Make two accounts of it"
            );
            return Err(place.wrong(raw.line.span(), message));
        }
        if names.iter().filter(|other| *other == line).count() > 1 {
            let message = format!("account {name:?} names line {line:?} twice; once is enough");
            return Err(place.wrong(raw.line.span(), message));
        }
        if known.modem.is_some() && dials && phones.is_empty() {
            let message = format!(
                "account {name:?} dials through line {line:?} but has no number: add phone = \"...\", \
                 or answer = true if the host calls, or modem = \"none\" to the line if it is connected already"
            );
            return Err(place.wrong(raw.line.span(), message));
        }
    }
    check_texts(raw, place)?;
    let way = check_way(raw, &names, lines, place)?;
    for line in names.iter().filter_map(|name| lines.get(name)) {
        let Some(profile) = &line.modem else { continue };
        for number in &phones {
            let span = raw.phone.as_ref().map_or(0..0, Spanned::span);
            check_number(profile, &line.rules, number).map_err(|bad| place.wrong(span, bad.to_string()))?;
        }
    }
    if let Some(source) = &raw.password {
        source.get_ref().check().map_err(|message| place.wrong(source.span(), message))?;
    }
    if let Some(source) = &raw.otp {
        source.get_ref().check().map_err(|message| place.wrong(source.span(), message))?;
    }
    Ok(AccountConfig {
        lines: names,
        phones,
        calling,
        user: raw.user.as_ref().map(|user| user.get_ref().clone()),
        password: raw.password.as_ref().map(|source| source.get_ref().clone()),
        otp: raw.otp.as_ref().map(|source| source.get_ref().clone()),
        login: raw.login.as_ref().map(|login| check_login(login, raw.user.is_some(), place)).transpose()?,
        way,
        mailbox: raw.mailbox.as_ref().map(|mailbox| mailbox.get_ref().path().to_owned()),
        deliver: raw.deliver.as_ref().map(|deliver| check_deliver(deliver, place)).transpose()?,
        keep: raw.keep.unwrap_or(true),
        transfer: raw.transfer.as_ref().map(|choice| *choice.get_ref()).unwrap_or_default(),
        redial: match &raw.redial {
            Some(redial) => dialling::check_redial(redial, place)?,
            None => None,
        },
    })
}

/// What can be wrong with a single key, whatever the others say.
fn check_texts(raw: &AccountToml, place: &Place<'_>) -> Result<(), ConfigError> {
    let refuse = |span: Range<usize>, message: &str| Err(place.wrong(span, message.to_owned()));
    if let Some(user) = &raw.user
        && (user.get_ref().is_empty() || has_control(user.get_ref()))
    {
        return refuse(user.span(), "`user` is empty or has control characters in it");
    }
    if let Some(mailbox) = &raw.mailbox
        && (mailbox.get_ref().path().is_empty() || mailbox.get_ref().path().contains('\0'))
    {
        return refuse(mailbox.span(), "`mailbox` is not a path; leave it out for the host's $MAIL");
    }
    Ok(())
}

/// Whether a line leads to the mailbox or a path does; refuses what means nothing there.
fn check_way(
    raw: &AccountToml,
    names: &[String],
    lines: &BTreeMap<String, LineConfig>,
    place: &Place<'_>,
) -> Result<Way, ConfigError> {
    let refuse = |span: Range<usize>, message: &str| Err(place.wrong(span, message.to_owned()));
    let is_path = |name: &&String| lines.get(*name).is_some_and(|line| matches!(line.kind, LineKind::File));
    let maildir = raw.mailbox.as_ref().filter(|mailbox| matches!(mailbox.get_ref(), MailboxToml::Maildir(_)));
    if !names.iter().any(|name| is_path(&name)) {
        return match maildir {
            None => Ok(Way::Line),
            Some(given) => refuse(
                given.span(),
                "over a line only an mbox is carried, which is one file: a Maildir is read where it is, by a \
                 line of kind \"file\" on the server or with its file system mounted",
            ),
        };
    }
    fn at<T>(given: &Option<Spanned<T>>) -> Option<Range<usize>> {
        given.as_ref().map(Spanned::span)
    }
    let meaningless = [
        ("phone", at(&raw.phone), "nothing is dialled"),
        ("redial", at(&raw.redial), "nothing is dialled"),
        ("user", at(&raw.user), "nobody logs in, the mailbox is read as whoever runs mailcall"),
        ("password", at(&raw.password), "nobody logs in, the mailbox is read as whoever runs mailcall"),
        ("otp", at(&raw.otp), "nobody logs in, the mailbox is read as whoever runs mailcall"),
        ("login", at(&raw.login), "nobody logs in, the mailbox is read as whoever runs mailcall"),
        ("transfer", at(&raw.transfer), "nothing is transferred, the file is read"),
    ];
    for (key, given, why) in meaningless {
        if let Some(span) = given {
            return refuse(span, &format!("on a line of kind \"file\" {why}: remove `{key}`"));
        }
    }
    if let Some(mailbox) = &raw.mailbox
        && !mailbox.get_ref().path().starts_with("~/")
        && !std::path::Path::new(mailbox.get_ref().path()).is_absolute()
    {
        let message = "`mailbox` is a path on this machine, whole from / or ~/ on, wherever mailcall is run";
        return refuse(mailbox.span(), message);
    }
    Ok(if maildir.is_some() { Way::Maildir } else { Way::Path })
}

fn check_deliver(deliver: &Spanned<DeliverToml>, place: &Place<'_>) -> Result<Deliver, ConfigError> {
    match deliver.get_ref() {
        DeliverToml { maildir: Some(path), mbox: None } if !path.is_empty() => {
            Ok(Deliver::Maildir(expand_home(path)))
        }
        DeliverToml { maildir: None, mbox: Some(path) } if !path.is_empty() => {
            Ok(Deliver::Mbox(expand_home(path)))
        }
        _ => Err(place.wrong(
            deliver.span(),
            "`deliver` is one of { maildir = \"~/Mail/home\" } and { mbox = \"~/mail/home\" }".to_owned(),
        )),
    }
}
