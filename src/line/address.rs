//! Where a line over a network leads: `host:port`, `[2001:db8::1]:port`.

/// A host's name or number, and a TCP port on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// A name, or an address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl Address {
    /// Reads `host:port`; the port may be left out where there is a usual one. Says what is wrong.
    pub fn parse(text: &str, usual_port: Option<u16>) -> Result<Self, String> {
        let (host, port) = split(text)?;
        if host.is_empty() || host.chars().any(|c| c.is_whitespace() || c.is_control() || c == '/') {
            return Err(format!("{text:?} is no address: write \"host:port\""));
        }
        let port = match (port, usual_port) {
            (Some(port), _) => port.parse().ok().filter(|&port| port != 0).ok_or_else(|| {
                format!("{port:?} is no TCP port: write a number from 1 to 65535 behind the colon")
            })?,
            (None, Some(usual)) => usual,
            (None, None) => {
                // An IPv6 address gets its brackets there.
                let whole = Self { host: host.to_owned(), port: 2000 };
                return Err(format!("{text:?} says no port: write \"{whole}\" or what it is"));
            }
        };
        Ok(Self { host: host.to_owned(), port })
    }
}

/// Host and port. An IPv6 address has colons of its own, so a port behind it needs brackets (RFC 3986,
/// 3.2.2).
fn split(text: &str) -> Result<(&str, Option<&str>), String> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, behind) =
            rest.split_once(']').ok_or_else(|| format!("{text:?} has no closing bracket"))?;
        return match behind.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if behind.is_empty() => Ok((host, None)),
            None => Err(format!("{text:?}: behind the bracket comes \":port\"")),
        };
    }
    match text.split_once(':') {
        Some((_, port)) if port.contains(':') => Ok((text, None)), // a bare IPv6 address
        Some((host, port)) => Ok((host, Some(port))),
        None => Ok((text, None)),
    }
}

/// As it is written.
impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_and_written_alike() {
        for (text, host, port) in [
            ("mail.example.org:2000", "mail.example.org", 2000),
            ("192.0.2.7:23", "192.0.2.7", 23),
            ("[2001:db8::1]:7000", "2001:db8::1", 7000),
        ] {
            let address = Address::parse(text, None).unwrap();
            assert_eq!((address.host.as_str(), address.port), (host, port));
            assert_eq!(address.to_string(), text);
        }
        for text in ["host", "2001:db8::1", "[2001:db8::1]"] {
            assert_eq!(Address::parse(text, Some(23)).unwrap().port, 23, "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_what_would_be_one() {
        for (text, says) in [
            ("host", "no port"),
            ("host:", "no TCP port"),
            ("host:0", "no TCP port"),
            ("host:65536", "no TCP port"),
            ("host:telnet", "no TCP port"),
            (":23", "host:port"),
            ("a b:23", "host:port"),
            ("telnet://host:23", "host:port"),
            ("[::1:23", "bracket"),
            ("[::1]23", "behind the bracket"),
            ("", "is no address"),
            ("2001:db8::1", "write \"[2001:db8::1]:2000\""),
            ("[2001:db8::1]", "write \"[2001:db8::1]:2000\""),
        ] {
            let message = Address::parse(text, None).unwrap_err();
            assert!(message.contains(says), "{text}: {message}");
        }
    }
}
