/// The traffic class of what a socket sends (RFC 2474, RFC 3168): checks,
/// their answers and data alike, as RFC 8445 §7.2.3 wants. Networks are free
/// to ignore or to change it, and some systems do.
///
/// ```
/// use floe::driver::{Ecn, TrafficClass};
///
/// let voice = TrafficClass::new(46).ok_or("not 0 to 63")?;
/// assert_eq!((voice.dscp(), voice.ecn()), (46, Ecn::NotCapable));
/// assert_eq!(voice.with_ecn(Ecn::Ect0).byte(), 0xba);
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TrafficClass {
    dscp: u8,
    ecn: Ecn,
}

/// What a datagram says of congestion notification (RFC 3168 §5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Ecn {
    /// Its transport does not react to marks. The default.
    #[default]
    NotCapable,
    /// ECT(0): its transport does.
    Ect0,
    /// ECT(1): its transport does, as RFC 9331 asks.
    Ect1,
}

impl TrafficClass {
    /// The class with this code point, 0 to 63 (RFC 2474 §3; RFC 8837 has
    /// those for media), and without congestion notification.
    pub const fn new(dscp: u8) -> Option<Self> {
        if dscp < 64 { Some(TrafficClass { dscp, ecn: Ecn::NotCapable }) } else { None }
    }

    /// The same code point, with this for congestion notification.
    pub const fn with_ecn(self, ecn: Ecn) -> Self {
        TrafficClass { ecn, ..self }
    }

    /// The code point.
    pub const fn dscp(self) -> u8 {
        self.dscp
    }

    /// Congestion notification.
    pub const fn ecn(self) -> Ecn {
        self.ecn
    }

    /// The byte of the IP header: TOS of IPv4, Traffic Class of IPv6.
    pub const fn byte(self) -> u8 {
        let ecn = match self.ecn {
            Ecn::NotCapable => 0b00,
            Ecn::Ect0 => 0b10,
            Ecn::Ect1 => 0b01,
        };
        self.dscp << 2 | ecn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_byte_has_both() {
        assert_eq!(TrafficClass::default().byte(), 0);
        for dscp in 0..64 {
            let class = TrafficClass::new(dscp).unwrap();
            assert_eq!(class.byte(), dscp * 4);
            assert_eq!(class.with_ecn(Ecn::Ect1).byte(), dscp * 4 + 1);
            assert_eq!(class.with_ecn(Ecn::Ect0).byte(), dscp * 4 + 2);
        }
        assert_eq!(TrafficClass::new(64), None);
    }
}
