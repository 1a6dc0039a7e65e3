//! Where the line is: what an international number becomes when it is dialled from there.
//!
//! A number in the form of ITU-T E.164 (`+49 30 12345`) is the same everywhere; what has to be dialled
//! for it is not. Within an area the local number may do, another area of the country wants a trunk
//! prefix, another country an international prefix (E.164, Annex A), and each country has its own.

/// A place, as far as dialling is concerned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Location {
    /// The country code, without `+`.
    pub country: String,
    /// The area code, without trunk prefix; empty where there is none, or none is wanted.
    pub area: String,
    /// Dialled before everything else, to get out of a private branch exchange: `0,`.
    pub outside_line: String,
    /// Dialled next: turns call waiting off for this call.
    pub call_waiting: String,
    /// The trunk prefix, in front of another area's code.
    pub long_distance: String,
    /// The international prefix.
    pub international: String,
    /// The area code is dialled within the area too.
    pub area_always: bool,
    /// The trunk prefix too: within the area as to any other.
    pub long_distance_always: bool,
}

/// What is wrong with a place: the key, and why.
pub type BadLocation = (&'static str, String);

impl Location {
    /// The place with the prefixes that are usual in its country, and nothing else known.
    pub fn in_country(country: &str) -> Self {
        let prefixes = USUAL_PREFIXES.iter().find(|(code, ..)| *code == country);
        let (_, long_distance, international) = prefixes.unwrap_or(&ELSEWHERE);
        Self {
            country: country.to_owned(),
            long_distance: (*long_distance).to_owned(),
            international: (*international).to_owned(),
            ..Self::default()
        }
    }

    /// Whether the place can be.
    pub fn check(&self) -> Result<(), BadLocation> {
        if !is_digits(&self.country) || country_code(&self.country) != Some(&self.country) {
            let message = format!("{:?} is no country code: write \"49\" or \"1\", without +", self.country);
            return Err(("country", message));
        }
        let codes = [
            ("area", &self.area),
            ("long_distance", &self.long_distance),
            ("international", &self.international),
        ];
        if let Some((key, code)) = codes.iter().find(|(_, code)| !code.is_empty() && !is_digits(code)) {
            return Err((key, format!("{code:?} is not made of digits")));
        }
        if self.keeps_zero() || !self.area.starts_with(TRUNK_ZERO) {
            return Ok(());
        }
        Err(("area", format!("write the area code {:?} without the 0 in front of it", self.area)))
    }

    /// What is dialled here for an international number, given as digits without `+`.
    pub(super) fn dialled(&self, digits: &str) -> String {
        let Some(national) = digits.strip_prefix(&self.country) else {
            return format!("{}{digits}", self.international);
        };
        match national.strip_prefix(&self.area) {
            Some(local) if !self.area.is_empty() && !local.is_empty() && !self.long_distance_always => {
                if self.area_always { national.to_owned() } else { local.to_owned() }
            }
            Some(_) | None => format!("{}{national}", self.long_distance),
        }
    }

    /// The international number (digits without `+`) that is meant by digits dialled here.
    pub(super) fn meant(&self, digits: &str) -> Option<String> {
        let behind = |prefix: &str| digits.strip_prefix(prefix).filter(|_| !prefix.is_empty());
        if let Some(international) = behind(&self.international) {
            return Some(international.to_owned());
        }
        if let Some(national) = behind(&self.long_distance) {
            return Some(format!("{}{national}", self.country));
        }
        if self.country == NORTH_AMERICA && digits.len() == TEN_DIGITS {
            return Some(format!("{NORTH_AMERICA}{digits}"));
        }
        if self.country == NORTH_AMERICA && digits.len() == SEVEN_DIGITS && !self.area.is_empty() {
            return Some(format!("{NORTH_AMERICA}{}{digits}", self.area));
        }
        if self.long_distance.is_empty() || self.area_always {
            return Some(format!("{}{digits}", self.country));
        }
        (!self.area.is_empty()).then(|| format!("{}{}{digits}", self.country, self.area))
    }

    /// Whether the digits have this country's trunk prefix where none belongs: `+49 030 12345`.
    pub(super) fn has_stray_trunk_prefix(&self, digits: &str) -> bool {
        self.long_distance.starts_with(TRUNK_ZERO)
            && digits.strip_prefix(&self.country).is_some_and(|national| national.starts_with(TRUNK_ZERO))
    }

    fn keeps_zero(&self) -> bool {
        KEEP_ZERO.contains(&self.country.as_str())
    }
}

/// The country code that an international number begins with. No code begins another (E.164, 6.2.1).
pub(super) fn country_code(digits: &str) -> Option<&str> {
    let length = match digits.as_bytes() {
        [b'1' | b'7', ..] => 1,
        [b'0', ..] | [] => return None,
        [first, second, ..] if TWO_DIGITS.contains(&&[*first, *second]) => 2,
        _ => 3,
    };
    digits.get(..length)
}

/// Whether a zero in parentheses is part of the number, not a trunk prefix for callers at home.
pub(super) fn keeps_zero(digits: &str) -> bool {
    country_code(digits).is_some_and(|code| KEEP_ZERO.contains(&code))
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The trunk prefix of most countries.
const TRUNK_ZERO: &str = "0";
/// Italy and its neighbours dial the zero of an area code from abroad too.
const KEEP_ZERO: [&str; 3] = ["39", "378", "379"];
/// The country code of the North American Numbering Plan, whose numbers say by their length what they
/// are: seven digits within the area, ten with it, eleven with the trunk prefix.
const NORTH_AMERICA: &str = "1";
const TEN_DIGITS: usize = 10;
const SEVEN_DIGITS: usize = 7;
/// Country code, trunk prefix and international prefix where they are not 0 and 00 (ITU, dialling
/// procedures). Many countries have no trunk prefix: a 0 in front would reach somebody else there.
const USUAL_PREFIXES: [(&str, &str, &str); 45] = [
    ("1", "1", "011"),
    ("7", "8", "810"),
    ("30", "", "00"),
    ("34", "", "00"),
    ("36", "06", "00"),
    ("39", "", "00"),
    ("45", "", "00"),
    ("47", "", "00"),
    ("48", "", "00"),
    ("52", "", "00"),
    ("53", "0", "119"),
    ("61", "0", "0011"),
    ("65", "", "001"),
    ("66", "0", "001"),
    ("81", "0", "010"),
    ("82", "0", "001"),
    ("216", "", "00"),
    ("225", "", "00"),
    ("234", "0", "009"),
    ("254", "0", "000"),
    ("255", "0", "000"),
    ("256", "0", "000"),
    ("298", "", "00"),
    ("299", "", "00"),
    ("350", "", "00"),
    ("351", "", "00"),
    ("352", "", "00"),
    ("354", "", "00"),
    ("356", "", "00"),
    ("357", "", "00"),
    ("371", "", "00"),
    ("372", "", "00"),
    ("375", "8", "810"),
    ("376", "", "00"),
    ("377", "", "00"),
    ("378", "", "00"),
    ("379", "", "00"),
    ("420", "", "00"),
    ("506", "", "00"),
    ("507", "", "00"),
    ("852", "", "001"),
    ("853", "", "00"),
    ("886", "0", "002"),
    ("976", "0", "001"),
    ("993", "8", "810"),
];
/// What the ITU recommends, and most countries have (E.164, Annex A).
const ELSEWHERE: (&str, &str, &str) = ("", "0", "00");
/// The country codes of two digits (list annexed to E.164); all but 1 and 7 of the others have three.
const TWO_DIGITS: [&[u8; 2]; 44] = [
    b"20", b"27", b"30", b"31", b"32", b"33", b"34", b"36", b"39", b"40", b"41", b"43", b"44", b"45", b"46",
    b"47", b"48", b"49", b"51", b"52", b"53", b"54", b"55", b"56", b"57", b"58", b"60", b"61", b"62", b"63",
    b"64", b"65", b"66", b"81", b"82", b"84", b"86", b"90", b"91", b"92", b"93", b"94", b"95", b"98",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn berlin() -> Location {
        Location { area: "30".into(), ..Location::in_country("49") }
    }

    fn boston() -> Location {
        Location { area: "617".into(), area_always: true, ..Location::in_country("1") }
    }

    #[test]
    fn each_place_dials_its_own_way() {
        let old_boston = Location { area_always: false, ..boston() };
        let overlay = Location { long_distance_always: true, ..boston() };
        let rome = Location { area: "06".into(), area_always: true, ..Location::in_country("39") };
        let no_area = Location { area: String::new(), ..berlin() };
        let oslo = Location { long_distance: String::new(), ..Location::in_country("47") };
        for (place, digits, dialled) in [
            (&berlin(), "493012345", "12345"),
            (&berlin(), "498912345", "08912345"),
            (&berlin(), "16175551212", "0016175551212"),
            (&berlin(), "4930", "030"), // no more than the area: not a local number
            (&no_area, "493012345", "03012345"),
            (&boston(), "16175551212", "6175551212"),
            (&old_boston, "16175551212", "5551212"),
            (&overlay, "16175551212", "16175551212"),
            (&boston(), "12125551212", "12125551212"),
            (&boston(), "493012345", "011493012345"),
            (&rome, "390612345", "0612345"),
            (&rome, "390212345", "0212345"),
            (&oslo, "4722334455", "22334455"),
            (&Location::in_country("34"), "34911234567", "911234567"),
            (&Location::in_country("45"), "4533123456", "33123456"),
            (&Location::in_country("36"), "3612345678", "0612345678"),
            (&Location::in_country("81"), "81312345678", "0312345678"),
            (&Location::in_country("81"), "493012345", "010493012345"),
            (&Location::in_country("61"), "493012345", "0011493012345"),
            (&Location::in_country("33"), "33142345678", "0142345678"),
            (&Location::in_country("7"), "74951234567", "84951234567"),
            (&Location::in_country("7"), "493012345", "810493012345"),
        ] {
            assert_eq!(place.dialled(digits), dialled, "+{digits} from {place:?}");
        }
    }

    #[test]
    fn what_is_dialled_means_the_number_again() {
        for (place, digits) in [
            (berlin(), "493012345"),
            (berlin(), "498912345"),
            (berlin(), "16175551212"),
            (boston(), "16175551212"),
            (boston(), "12125551212"),
            (boston(), "493012345"),
            (Location::in_country("39"), "390612345"),
        ] {
            assert_eq!(place.meant(&place.dialled(digits)).as_deref(), Some(digits), "{place:?}");
        }
        let seven_digits = Location { area_always: false, ..boston() };
        for place in [boston(), seven_digits] {
            for written in ["5551212", "6175551212", "16175551212", "01116175551212"] {
                assert_eq!(place.meant(written).as_deref(), Some("16175551212"), "{written} at {place:?}");
            }
        }
        assert_eq!(Location::in_country("49").meant("12345"), None, "whose area is not known");
    }

    #[test]
    fn a_country_is_one_that_there_can_be() {
        for (digits, code) in [
            ("493012345", Some("49")),
            ("16175551212", Some("1")),
            ("74951234567", Some("7")),
            ("3531234567", Some("353")),
            ("8816000025", Some("881")),
            ("0301", None),
            ("", None),
            ("35", None),
        ] {
            assert_eq!(country_code(digits), code, "{digits}");
        }
        for bad in ["", "4", "+49", "049", "490", "x", "\u{664}9"] {
            let (key, _) = Location::in_country(bad).check().expect_err(bad);
            assert_eq!(key, "country", "{bad}");
        }
        assert_eq!(berlin().check(), Ok(()));
    }

    #[test]
    fn codes_are_digits_and_an_area_has_no_trunk_prefix() {
        for (place, key) in [
            (Location { area: "030".into(), ..berlin() }, "area"),
            (Location { area: "3 0".into(), ..berlin() }, "area"),
            (Location { long_distance: "0,".into(), ..berlin() }, "long_distance"),
            (Location { international: "+".into(), ..berlin() }, "international"),
        ] {
            assert_eq!(place.check().map_err(|(key, _)| key), Err(key));
        }
        let rome = Location { area: "06".into(), ..Location::in_country("39") };
        assert_eq!(rome.check(), Ok(()));
    }
}
