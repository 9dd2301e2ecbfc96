//! Names in the place of our addresses
//! (draft-ietf-rtcweb-mdns-ice-candidates §3.1).

use std::net::IpAddr;

use crate::agent::{Core, SocketOp};
use crate::rng::Rng;

impl Core {
    /// Gives an address its name, if names are what is signalled and it has
    /// none: one name an address, for all streams and components.
    pub(super) fn publish(&mut self, ip: IpAddr) {
        if !self.config.publish_mdns || self.name_of(ip).is_some() {
            return;
        }
        let name = name(&mut self.rng);
        self.names.push((ip, name.clone()));
        self.socket_ops.push_back(SocketOp::PublishName { name, ip });
    }

    /// The name that is signalled in the place of an address of ours.
    pub(super) fn name_of(&self, ip: IpAddr) -> Option<&str> {
        self.names.iter().find(|(known, _)| *known == ip).map(|(_, name)| &**name)
    }
}

/// A random UUID (RFC 9562 §5.4) in `.local`.
fn name(rng: &mut Rng) -> Box<str> {
    const MASK: u128 = !(0xf000 << 64 | 0xc000 << 48);
    const VERSION_4: u128 = 0x4000 << 64 | 0x8000 << 48;
    // A name is no secret: who can resolve it is told, and a log is too.
    let random = u128::from(rng.number()) << 64 | u128::from(rng.number());
    let hex = format!("{:032x}", random & MASK | VERSION_4);
    let (a, rest) = hex.split_at(8);
    let (b, rest) = rest.split_at(4);
    let (c, rest) = rest.split_at(4);
    let (d, e) = rest.split_at(4);
    format!("{a}-{b}-{c}-{d}-{e}.local").into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::candidate::is_mdns_name;
    use crate::rng::Seed;

    #[test]
    fn names_are_random_uuids() {
        let mut rng = Rng::new(&Seed::from_number(1));
        let names: std::collections::BTreeSet<_> = (0..100).map(|_| name(&mut rng)).collect();
        assert_eq!(names.len(), 100);
        for name in names {
            assert!(is_mdns_name(&name), "{name}");
            assert_eq!(&name[14..15], "4", "the version of {name}");
            assert!("89ab".contains(&name[19..20]), "the variant of {name}");
        }
    }
}
