//! Host names in candidates. Resolving whatever name a peer sends would make
//! this machine ask for it, so only mDNS names may be resolved
//! (draft-ietf-rtcweb-mdns-ice-candidates §3.2.1).

/// The lengths of the groups of a UUID in its text form (RFC 9562 §4).
const UUID_GROUPS: [usize; 5] = [8, 4, 4, 4, 12];

/// Whether `name` is `<uuid>.local`, the only form of name that is ever
/// resolved.
pub fn is_mdns_name(name: &str) -> bool {
    let Some((uuid, domain)) = name.split_once('.') else { return false };
    let mut groups = uuid.split('-');
    domain.eq_ignore_ascii_case("local")
        && UUID_GROUPS.iter().all(|len| groups.next().is_some_and(|group| is_hex(group, *len)))
        && groups.next().is_none()
}

fn is_hex(text: &str, len: usize) -> bool {
    text.len() == len && text.bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_uuid_in_local() {
        assert!(is_mdns_name("1f4712db-ea17-4bcf-a596-105139dfd8bf.local"));
        assert!(is_mdns_name("1F4712DB-EA17-4BCF-A596-105139DFD8BF.LOCAL"));
        for wrong in [
            "",
            ".local",
            "printer.local",
            "1f4712db-ea17-4bcf-a596-105139dfd8bf",
            "1f4712db-ea17-4bcf-a596-105139dfd8bf.local.",
            "1f4712db-ea17-4bcf-a596-105139dfd8bf.example.local",
            "1f4712db-ea17-4bcf-a596-105139dfd8bf-.local",
            "1f4712dbea17-4bcf-a596-105139dfd8bf.local",
            "gf4712db-ea17-4bcf-a596-105139dfd8bf.local",
            "1f4712db-ea17-4bcf-a596-105139dfd8bf.localx",
            "äf4712d-ea17-4bcf-a596-105139dfd8bf.local",
        ] {
            assert!(!is_mdns_name(wrong), "{wrong:?}");
        }
    }
}
