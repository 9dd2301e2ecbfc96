//! What TCP sockets are told on each family of systems, and how what they
//! answer is to be read.

use std::io::ErrorKind;

/// A family of systems.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum System {
    /// Linux, and Android with it.
    Linux,
    /// macOS and its relatives.
    Apple,
    Windows,
    /// FreeBSD, NetBSD, OpenBSD, DragonFly.
    Bsd,
    /// One of which nothing is known.
    Other,
}

impl System {
    /// The one that this is.
    pub(super) const HERE: System = if cfg!(any(target_os = "linux", target_os = "android")) {
        System::Linux
    } else if cfg!(target_vendor = "apple") {
        System::Apple
    } else if cfg!(windows) {
        System::Windows
    } else if cfg!(any(
        target_os = "freebsd",
        target_os = "netbsd",
        target_os = "openbsd",
        target_os = "dragonfly"
    )) {
        System::Bsd
    } else {
        System::Other
    };
}

/// How one port is used by a listener and by connections at once, and what
/// the system does for that.
///
/// Nowhere is SO_EXCLUSIVEADDRUSE set: it forbids what SO_REUSEADDR allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// SO_REUSEPORT is set beside SO_REUSEADDR. Windows has none, and its
    /// SO_REUSEADDR alone does as much.
    pub(super) reuse_port: bool,
    /// A connection may leave from the port of a listener. Where that is not
    /// known it leaves from a port of its own.
    pub(super) shares_port: bool,
    /// A trial for a free port sets SO_REUSEADDR, which passes over what old
    /// connections leave behind. On Windows it would pass over listeners too.
    pub(super) trial_reuses_address: bool,
    /// What connect() says where the connection exists already.
    pub(super) exists: ErrorKind,
    /// TCP_USER_TIMEOUT is known (RFC 5482).
    pub(super) user_timeout: bool,
    /// The system tells how far a handshake is.
    pub(super) tells_handshake: bool,
}

impl Plan {
    pub(super) const HERE: Plan = Plan::of(System::HERE);

    pub(super) const fn of(system: System) -> Self {
        let unix = Plan {
            reuse_port: true,
            shares_port: true,
            trial_reuses_address: true,
            exists: ErrorKind::AddrInUse,
            user_timeout: false,
            tells_handshake: false,
        };
        match system {
            System::Linux => Plan {
                exists: ErrorKind::AddrNotAvailable,
                user_timeout: true,
                tells_handshake: cfg!(target_os = "linux"),
                ..unix
            },
            System::Apple | System::Bsd => unix,
            System::Windows => Plan { reuse_port: false, trial_reuses_address: false, ..unix },
            System::Other => Plan { reuse_port: false, shares_port: false, ..unix },
        }
    }

    /// What is told of a refused connect(): [`ErrorKind::AddrNotAvailable`]
    /// means that the connection exists, and nothing else. A connection from
    /// a port of its own (`is_shared` is false) does not exist already.
    pub(super) fn told(&self, kind: ErrorKind, is_shared: bool) -> ErrorKind {
        match kind {
            kind if is_shared && kind == self.exists => ErrorKind::AddrNotAvailable,
            ErrorKind::AddrNotAvailable => ErrorKind::NetworkUnreachable,
            kind => kind,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAMILIES: [System; 5] =
        [System::Linux, System::Apple, System::Windows, System::Bsd, System::Other];

    #[test]
    fn linux_has_everything() {
        let plan = Plan::of(System::Linux);
        assert!(plan.reuse_port && plan.shares_port && plan.trial_reuses_address);
        assert!(plan.user_timeout);
        assert_eq!(plan.exists, ErrorKind::AddrNotAvailable);
    }

    #[test]
    fn apple_shares_ports_and_calls_a_connection_that_exists_in_use() {
        let plan = Plan::of(System::Apple);
        assert!(plan.reuse_port && plan.shares_port && plan.trial_reuses_address);
        assert!(!plan.user_timeout && !plan.tells_handshake);
        assert_eq!(plan.exists, ErrorKind::AddrInUse);
    }

    #[test]
    fn the_bsds_are_as_apple() {
        assert_eq!(Plan::of(System::Bsd), Plan::of(System::Apple));
    }

    #[test]
    fn windows_has_no_reuse_port_and_its_reuse_address_does_not_try_ports() {
        let plan = Plan::of(System::Windows);
        assert!(!plan.reuse_port && plan.shares_port && !plan.trial_reuses_address);
        assert_eq!(plan.exists, ErrorKind::AddrInUse);
    }

    #[test]
    fn nothing_is_asked_of_an_unknown_system() {
        let plan = Plan::of(System::Other);
        assert!(!plan.reuse_port && !plan.shares_port);
        assert!(!plan.user_timeout && !plan.tells_handshake);
    }

    #[test]
    fn only_a_connection_that_exists_is_told_as_such() {
        for plan in FAMILIES.map(Plan::of) {
            assert_eq!(plan.told(plan.exists, true), ErrorKind::AddrNotAvailable);
            let refused = ErrorKind::ConnectionRefused;
            assert_eq!(plan.told(refused, true), refused);
            for kind in [ErrorKind::AddrNotAvailable, ErrorKind::AddrInUse, refused] {
                let is_shared = kind != plan.exists;
                assert_ne!(plan.told(kind, false), ErrorKind::AddrNotAvailable);
                assert_eq!(
                    plan.told(kind, true) == ErrorKind::AddrNotAvailable,
                    !is_shared,
                    "{kind:?}"
                );
            }
        }
    }
}
