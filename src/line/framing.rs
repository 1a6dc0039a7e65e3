//! How a character is framed on an asynchronous line: data bits, parity, stop bits (8N1, 7E1).

use serde::Deserialize;

/// The bits of one character between its start bit and the next character's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Framing {
    /// Bits that carry data.
    pub data_bits: DataBits,
    /// The bit behind them.
    pub parity: Parity,
    /// The mark that ends the character.
    pub stop_bits: StopBits,
}

/// Bits of a character that carry data.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DataBits {
    /// Baudot.
    Five,
    /// Six.
    Six,
    /// ASCII, mostly with parity.
    Seven,
    /// A whole byte.
    #[default]
    Eight,
}

/// What the parity bit says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Parity {
    /// There is none.
    #[default]
    None,
    /// It makes the number of ones odd.
    Odd,
    /// It makes the number of ones even.
    Even,
    /// It is always one.
    Mark,
    /// It is always zero.
    Space,
}

/// How long the mark at a character's end lasts at least.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum StopBits {
    /// One bit.
    #[default]
    One,
    /// Two bits.
    Two,
}

impl DataBits {
    /// As a number of bits.
    pub fn count(self) -> u8 {
        match self {
            Self::Five => 5,
            Self::Six => 6,
            Self::Seven => 7,
            Self::Eight => 8,
        }
    }
}

impl Parity {
    /// Seven bits with this parity in the eighth, as a UART set to it would send them. Without parity
    /// the eighth is zero.
    pub fn put_on(self, byte: u8) -> u8 {
        let seven = byte & SEVEN_BITS;
        let is_odd = !seven.count_ones().is_multiple_of(2);
        let eighth = match self {
            Self::None | Self::Space => false,
            Self::Mark => true,
            Self::Even => is_odd,
            Self::Odd => !is_odd,
        };
        if eighth { seven | !SEVEN_BITS } else { seven }
    }
}

impl Framing {
    /// Whether all eight bits of a byte pass.
    pub fn is_eight_bit(self) -> bool {
        self.data_bits == DataBits::Eight
    }

    /// Bits that a character takes on the wire, its start bit among them: 10 for 8N1 and 7E1.
    pub fn bits(self) -> u32 {
        let parity = u32::from(self.parity != Parity::None);
        let stop = match self.stop_bits {
            StopBits::One => 1,
            StopBits::Two => 2,
        };
        1 + u32::from(self.data_bits.count()) + parity + stop
    }

    /// The framing of eight bits that has the same bits on the wire, if the parity is put into the
    /// eighth: for ports that cannot do seven. Only seven bits with parity have one.
    pub fn in_eight_bits(self) -> Option<Self> {
        let has_one = self.data_bits == DataBits::Seven && self.parity != Parity::None;
        has_one.then_some(Self { data_bits: DataBits::Eight, parity: Parity::None, ..self })
    }
}

/// The bits of ASCII.
pub(super) const SEVEN_BITS: u8 = 0x7f;

/// As everybody writes it: `8N1`.
impl std::fmt::Display for Framing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parity = match self.parity {
            Parity::None => 'N',
            Parity::Odd => 'O',
            Parity::Even => 'E',
            Parity::Mark => 'M',
            Parity::Space => 'S',
        };
        let stop_bits = match self.stop_bits {
            StopBits::One => 1,
            StopBits::Two => 2,
        };
        write!(f, "{}{parity}{stop_bits}", self.data_bits.count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn framing_is_written_as_everybody_writes_it() {
        assert_eq!(Framing::default().to_string(), "8N1");
        let seven = Framing { data_bits: DataBits::Seven, parity: Parity::Even, stop_bits: StopBits::Two };
        assert_eq!(seven.to_string(), "7E2");
        assert!(Framing::default().is_eight_bit() && !seven.is_eight_bit());
        assert_eq!((Framing::default().bits(), seven.bits()), (10, 11));
    }

    #[test]
    fn seven_bits_with_parity_have_a_framing_of_eight_with_the_same_bits() {
        let seven = Framing { data_bits: DataBits::Seven, parity: Parity::Odd, stop_bits: StopBits::Two };
        let eight = seven.in_eight_bits().unwrap();
        assert_eq!((eight.to_string().as_str(), eight.bits()), ("8N2", seven.bits()));
        assert_eq!(Framing { parity: Parity::None, ..seven }.in_eight_bits(), None);
        assert_eq!(Framing { parity: Parity::Even, ..Framing::default() }.in_eight_bits(), None);
    }

    #[test]
    fn parity_is_put_on_as_a_uart_does() {
        // `a` has three ones, `c` four.
        let put = |parity: Parity| [b'a', b'c'].map(|byte| parity.put_on(byte));
        assert_eq!(put(Parity::Even), [0xe1, 0x63]);
        assert_eq!(put(Parity::Odd), [0x61, 0xe3]);
        assert_eq!(put(Parity::Mark), [0xe1, 0xe3]);
        assert_eq!(put(Parity::Space), [0x61, 0x63]);
        assert_eq!(put(Parity::None), [0x61, 0x63]);
        assert_eq!(Parity::Space.put_on(0xe1), 0x61, "there is no room for an eighth bit of data");
    }
}
