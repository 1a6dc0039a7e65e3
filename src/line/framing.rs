//! How a character is framed on an asynchronous line: data bits, parity, stop bits (8N1, 7E1).

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
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
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

impl Framing {
    /// Whether all eight bits of a byte pass.
    pub fn is_eight_bit(self) -> bool {
        self.data_bits == DataBits::Eight
    }
}

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
    }
}
