//! `--expect` and `--send`, in the order in which they stand on the command line.

use clap::{Arg, ArgAction, ArgMatches, Args, Command, Error, FromArgMatches};

use crate::session::terminal::dialogue::{Step, Text};

/// What is waited for and sent, in order.
#[derive(Debug, Clone, Default)]
pub(super) struct Steps(pub(super) Vec<Step>);

impl Args for Steps {
    fn augment_args(command: Command) -> Command {
        let several = |name: &'static str, value, help, long| {
            Arg::new(name)
                .long(name)
                .value_name(value)
                .action(ArgAction::Append)
                .allow_hyphen_values(true)
                .value_parser(Text::parse)
                .help(help)
                .long_help(format!("{help}\n\n{long}"))
        };
        command
            .arg(several(
                "expect",
                "TEXT",
                "Wait until the host says this; several are done in order with --send",
                "What has not come within --timeout ends the session with exit code 75. Escapes are as in \
                 --send; there is no pause.",
            ))
            .arg(several(
                "send",
                "TEXT",
                "Send this, when what stands before it is done",
                "\\r is RETURN; \\n \\t \\e \\\\ and \\xHH are bytes, \\p is a pause of a second, \\K a BREAK. \
                 Nothing is added: a command ends with \\r.",
            ))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Steps {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let given = |name: &str| -> Vec<(usize, Text)> {
            let texts = matches.get_many::<Text>(name).into_iter().flatten().cloned();
            matches.indices_of(name).into_iter().flatten().zip(texts).collect()
        };
        let mut steps = Vec::new();
        for (place, text) in given("expect") {
            let Some(pattern) = text.bytes() else {
                let message = "--expect takes bytes to wait for, at least one, and no \\p or \\K\n";
                return Err(Error::raw(clap::error::ErrorKind::ValueValidation, message));
            };
            steps.push((place, Step::Expect(pattern.to_vec())));
        }
        steps.extend(given("send").into_iter().map(|(place, text)| (place, Step::Send(text))));
        steps.sort_by_key(|(place, _)| *place);
        Ok(Self(steps.into_iter().map(|(_, step)| step).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(words: &[&str]) -> Result<Vec<Step>, Error> {
        let matches =
            Steps::augment_args(Command::new("x")).try_get_matches_from([&["x"], words].concat())?;
        Steps::from_arg_matches(&matches).map(|steps| steps.0)
    }

    #[test]
    fn steps_are_done_in_the_order_in_which_they_stand() {
        let text = |text| Step::Send(Text::parse(text).unwrap());
        let given = ["--send", "\\r", "--expect", "a", "--expect", "-b", "--send", "x\\r", "--expect=c"];
        let expect = |text: &str| Step::Expect(text.into());
        let expected = [text("\\r"), expect("a"), expect("-b"), text("x\\r"), expect("c")];
        assert_eq!(steps(&given).unwrap(), expected);
    }

    #[test]
    fn what_cannot_be_waited_for_is_a_mistake() {
        for bad in [["--expect", ""], ["--expect", "a\\p"], ["--expect", "\\q"], ["--send", "\\q"]] {
            assert!(steps(&bad).is_err(), "{bad:?}");
        }
    }
}
