//! Whether this system opens a connection from both ends at once.

/// Hardened kernels do not, and have a switch for it, which others lack
/// (RFC 9293 §3.5 asks for it). What a system says nothing of, it does.
pub(crate) fn opens_from_both_ends() -> bool {
    allows(std::fs::read_to_string("/proc/sys/net/ipv4/tcp_simult_connect").ok().as_deref())
}

fn allows(switch: Option<&str>) -> bool {
    switch.is_none_or(|value| value.trim() != "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_switch_that_is_off_forbids_it() {
        assert!(allows(None));
        assert!(allows(Some("1\n")));
        assert!(!allows(Some("0\n")));
    }
}
