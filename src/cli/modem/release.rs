//! `mailcall modem release`: what is remembered of dialled numbers, and forgetting it.

use super::config_if_any;
use crate::cli::Global;
use crate::session::fetch::store_failure;
use crate::session::memory;
use crate::session::retry::Reach;
use crate::session::{Ending, Failure, Stage};
use crate::store::dials::Dials;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
A number at which a person may be answering rests, or is not dialled any more.
Release it when you are sure that a modem answers there.")]
pub(in crate::cli) struct Args {
    /// The number, in any way of writing it [default: list all that are remembered]
    #[arg(value_name = "NUMBER", allow_hyphen_values = true)]
    number: Option<String>,
}

pub(super) fn run(global: &Global, args: &Args) -> Result<Ending, Failure> {
    let failed = |error| store_failure(Stage::Preparing, &error);
    let dials = Dials::new(&global.state_dir()?);
    let Some(number) = &args.number else {
        let all = dials.all().map_err(failed)?;
        if all.is_empty() && !global.json {
            println!("No number is remembered.");
        }
        for (number, history) in all {
            // As if a person could answer there: which line will dial it is not known here.
            let told = memory::told(&number, &history, Reach::Telephones);
            if global.json {
                println!("{}", serde_json::json!({ "number": number, "remembered": told }));
            } else {
                println!("{number}: {told}");
            }
        }
        return Ok(Ending::Done);
    };
    let config = config_if_any(global)?;
    let released = memory::release(&dials, config.location.as_ref(), number).map_err(failed)?;
    if global.json {
        println!("{}", serde_json::json!({ "number": number, "released": released }));
    } else if released {
        println!("{number} may be dialled again");
    } else {
        println!("nothing was remembered of {number}");
    }
    Ok(Ending::Done)
}
