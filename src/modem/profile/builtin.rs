//! The profiles in `hardware/modems`, built into the program.

/// A built-in profile's text.
pub(super) fn text(name: &str) -> Option<&'static str> {
    BUILTIN.iter().find(|(builtin, _)| *builtin == name).map(|(_, text)| *text)
}

/// Their names, in the order of the alphabet.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    BUILTIN.iter().map(|(name, _)| *name)
}

macro_rules! builtin {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("../../../hardware/modems/", $name, ".toml")))),*]
    };
}

const BUILTIN: [(&str, &str); 24] = builtin![
    "cdc-acm",
    "cirrus",
    "esp8266",
    "generic",
    "gsm",
    "hayes",
    "hayes-smartmodem",
    "inmarsat",
    "iridium",
    "isdn",
    "isdn-elsa",
    "isdn-i4l",
    "isdn-zyxel",
    "lucent",
    "multitech",
    "none",
    "rockwell",
    "tcpser",
    "telebit",
    "telebit-trailblazer",
    "usr-courier",
    "usr-sportster",
    "zoom",
    "zyxel",
];
