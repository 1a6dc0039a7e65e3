//! Command lines: what stands behind `AT`, cut into commands, and how a long one is shared out over
//! several lines (V.250 §5.2.1: a modem need not take more than 40 characters behind `AT`).

/// Shares the commands of `body` out over as few lines as a modem needs that takes `max` characters
/// behind `AT`, in their order. A single command that is longer than that stands alone: the modem,
/// not we, knows whether it can be taken.
///
/// Blanks between commands are dropped, as the modem drops them (V.250 §5.4.1), and so is the
/// semicolon behind the last extended command of a line (§5.4.2).
pub fn share_out(body: &str, max: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut rest = body.trim();
    while !rest.is_empty() {
        let (command, after) = first_command(rest);
        rest = after.trim_start();
        let Some(line) = lines.last_mut() else {
            lines.push(command.to_owned());
            continue;
        };
        let separator = if is_extended(line) { ";" } else { "" };
        if line.len() + separator.len() + command.len() <= max {
            line.push_str(separator);
            line.push_str(command);
        } else {
            lines.push(command.to_owned());
        }
    }
    lines
}

/// Whether one of the commands dials: `D` with a number, the last one or a stored one (§6.3.1).
pub fn dials(body: &str) -> bool {
    let mut rest = body.trim_start();
    while !rest.is_empty() {
        if rest.starts_with(['D', 'd']) {
            return true;
        }
        rest = first_command(rest).1.trim_start();
    }
    false
}

/// Whether the last command of a line is an extended one, which only a semicolon ends.
fn is_extended(line: &str) -> bool {
    let mut rest = line;
    loop {
        let (command, after) = first_command(rest);
        if after.is_empty() {
            return command.starts_with(EXTENDED);
        }
        rest = after;
    }
}

/// The first command, without the semicolon behind it, and what follows.
fn first_command(body: &str) -> (&str, &str) {
    let mut characters = body.char_indices().peekable();
    let Some((_, first)) = characters.next() else { return ("", "") };
    if EXTENDED.contains(&first) {
        let end = end_of_extended(body);
        let (command, rest) = body.split_at(end);
        return (command.trim_end(), rest.strip_prefix(';').unwrap_or(rest));
    }
    // `D` takes the rest of the line (§6.3.1), and so does what a maker puts behind `$`.
    if matches!(first.to_ascii_uppercase(), 'D' | '$') {
        return (body, "");
    }
    if PREFIXES.contains(&first) {
        characters.next_if(|&(_, letter)| letter.is_ascii_alphabetic());
    }
    // Digits, and `=` or `?` with what belongs to them: `S7=60`, `S12?`, `&Z1=5551212`.
    while characters.next_if(|&(_, c)| c.is_ascii_digit()).is_some() {}
    let takes_value = characters.next_if(|&(_, c)| c == '=').is_some();
    characters.next_if(|&(_, c)| c == '?');
    if takes_value {
        while characters.next_if(|&(_, c)| c.is_ascii_digit() || c == ',' || c == '.').is_some() {}
    }
    let end = characters.peek().map_or(body.len(), |&(at, _)| at);
    body.split_at(end)
}

/// Where an extended command ends: at a semicolon that stands in no string (§5.4.2.2).
fn end_of_extended(body: &str) -> usize {
    let mut in_string = false;
    for (at, character) in body.char_indices() {
        match character {
            '"' => in_string = !in_string,
            ';' if !in_string => return at,
            _ => {}
        }
    }
    body.len()
}

/// What begins an extended command: `+` is V.250's, `#` and `^` are makers'.
const EXTENDED: [char; 3] = ['+', '#', '^'];
/// What stands before the letter of a maker's basic command: `&C1`, `\N3`, `%C1`, `*C`, `-J1`, `)M`.
const PREFIXES: [char; 9] = ['&', '\\', '%', '*', '-', ')', '~', '@', '!'];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_between_commands_and_nowhere_else() {
        for (body, max, lines) in [
            ("E0V1Q0", 40, vec!["E0V1Q0"]),
            ("E0V1Q0", 4, vec!["E0V1", "Q0"]),
            ("&F1 &C1 &D2 S0=0 S7=55", 10, vec!["&F1&C1&D2", "S0=0S7=55"]),
            ("\\N3%C1*C2-J0)M1", 6, vec!["\\N3%C1", "*C2-J0", ")M1"]),
            ("S95=44W2", 8, vec!["S95=44W2"]),
            ("S95=44W2", 7, vec!["S95=44", "W2"]),
            ("DT5551212", 4, vec!["DT5551212"]),
            ("", 40, vec![]),
        ] {
            assert_eq!(share_out(body, max), lines, "{body} at {max}");
        }
    }

    #[test]
    fn extended_commands_are_parted_by_semicolons_and_need_none_at_the_end() {
        for (body, max, lines) in [
            ("+MS=V34,1,300,33600;+ES=3,0,2;+DS=3", 40, vec!["+MS=V34,1,300,33600;+ES=3,0,2;+DS=3"]),
            ("+MS=V34,1,300,33600;+ES=3,0,2;+DS=3", 30, vec!["+MS=V34,1,300,33600;+ES=3,0,2", "+DS=3"]),
            ("E0+IFC=2,2;&C1", 12, vec!["E0+IFC=2,2", "&C1"]),
            ("E0+IFC=2,2;&C1", 14, vec!["E0+IFC=2,2;&C1"]),
            ("+CGDCONT=1,\"IP\",\"a;b\";E0", 40, vec!["+CGDCONT=1,\"IP\",\"a;b\";E0"]),
            ("+CBST=71,0,1", 5, vec!["+CBST=71,0,1"]),
        ] {
            assert_eq!(share_out(body, max), lines, "{body} at {max}");
        }
    }

    #[test]
    fn a_dial_command_is_found_wherever_it_stands() {
        for body in ["DT5551212", "d5", "E0 DL", "&C1D5", "+IFC=2,2;DT5", "S7=60DS=1", "\\N3D5", "#CID=1;D5"]
        {
            assert!(dials(body), "{body}");
        }
        for body in ["&D2", "E0V1&C1&D2S0=0", "+CBST=71,0,1", "+IFC=2,2;&D2", "$JDZ2", "*D1", "", "H0"] {
            assert!(!dials(body), "{body}");
        }
    }

    #[test]
    fn sharing_out_loses_nothing_and_keeps_to_the_limit() {
        let body = "&F1E0V1Q0X4&C1&D2&H1&R2&K1&M4S0=0S7=55S10=50S38=10M1L1W2\\N3%C3";
        for max in 4..=80 {
            let lines = share_out(body, max);
            assert_eq!(lines.concat(), body, "at {max}");
            assert!(lines.iter().all(|line| line.len() <= max.max("S10=50".len())), "at {max}: {lines:?}");
        }
    }
}
