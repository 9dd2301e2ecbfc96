//! A meeting without signalling: time and a shared secret tell the ports.
//!
//! After Roberts' algorithm for TCP rendezvous, with what was unsound in it
//! made sound. Two agents know each other's IP address (not the port), share a
//! [`Secret`] and have clocks that are right to some seconds. Time is cut into
//! *buckets* of 60 s. At each moment an agent is in two buckets; each has 16
//! ports and ICE credentials of its own, derived from the secret by HKDF.
//!
//! # How long a bucket lasts
//! An agent is in a bucket for 120 s. **At every moment, two agents whose
//! clocks differ by at most 60 s are in a bucket together. If they differ by
//! d, one of those that they share at that moment lasts for at least another
//! 60 s − d on both sides:** 40 s with clocks 20 s apart, time for all that a
//! connection may take (39.5 s, RFC 8445 §14.3). The original reached 88 % of
//! the time with clocks 10 s apart, and less for counting in whole seconds and
//! sleeping at most 10 of them.
//!
//! # How an agent uses it
//! [`crate::agent::meet`] says what a core is told for it and which session is
//! used; the driver's `meet` does all of it on sockets.
//!
//! 1. [`Rendezvous::meetings`] with the wall clock tells the two [`Meeting`]s;
//!    after [`Rendezvous::changes_in`] it is called again: one meeting ends,
//!    one begins, one goes on. **Each port of a meeting is an ICE session of
//!    its own**, with an agent of its own: one that goes on keeps its sockets
//!    and its attempts; one that fails is begun again while its meeting lasts.
//! 2. On each port of a meeting, from the first on, as many as it wants and
//!    can bind, it has one listener and makes attempts from it: a base for
//!    simultaneous open (RFC 6544 §5.1), and a UDP socket as well. Two ports of
//!    each meeting at a time stay within 5 attempts a peer's address (RFC 6544
//!    §12). No port is in both meetings. Attempts are paced by the same ladder
//!    as all others, with sockets that last: not by a spray of calls.
//! 3. It assumes the remote candidates `tcptype so` and UDP at the peer's IP
//!    address with **the same port number** as its own base, and pairs only
//!    those with that base. A NAT that does not keep the port makes the remote
//!    peer-reflexive, which the first check tells.
//! 4. Both sides of a meeting have **the same credentials**, [`Meeting::ufrag`]
//!    and [`Meeting::pwd`], local and remote. To hand each side its own there
//!    would have to be an order between them before the first message, and
//!    there is none that both can know: behind NATs they do not know how the
//!    other sees their address, tie-breakers have not been exchanged, and who
//!    connects is chance. So a check authenticates that the sender knows the
//!    secret, not that it is another; therefore:
//! 5. **A Binding request whose tie-breaker is the agent's own is dropped**
//!    unanswered: [`Encounter::Ourselves`], a reflection, or a connection to
//!    itself. A reflected response fits no transaction of its receiver. A pair
//!    becomes valid only by a response to our own request, so a request that
//!    is replayed within the bucket can at most draw a check.
//! 6. Both begin as controlling agents, each with one random tie-breaker for
//!    all sessions, and RFC 8445 §7.3.1.1 settles the conflict by
//!    [`encounter`]: the larger tie-breaker controls, in each of them. Where
//!    several come to a valid pair, the controlling side alone chooses: it
//!    nominates in one and closes the others once that has completed. The
//!    controlled side follows, and closes none that is alive before.
//!
//! # What is left
//! Whoever knows the secret can be the peer: it is for two. One who captures a
//! check can test guesses at it, which is hopeless for 128 bits and has a
//! price for a passphrase (feature `rendezvous`). Symmetric NATs that give
//! other ports stay out of reach unless the other side's NAT filters by
//! address alone.

use std::fmt;
use std::time::Duration;

use crate::punch::Secret;

/// How long a bucket is, and how far two clocks may differ for a bucket to be
/// shared at all.
pub const BUCKET: Duration = Duration::from_secs(60);
/// The ports of a meeting.
pub const PORTS: usize = 16;
/// No port below is used: those need privileges.
const MIN_PORT: u16 = 1024;
/// The even or the odd ports from [`MIN_PORT`] on.
const CHOICE: u16 = (u16::MAX - MIN_PORT) / 2 + 1;
/// A fragment of 48 bits and a password of 144 (RFC 8445 §5.3 asks for 24 and
/// 128).
const UFRAG_LEN: usize = 8;
const PWD_LEN: usize = 24;
/// ice-char, RFC 8839 §5.4.
const ICE_CHARS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Derives meetings from a secret and the time.
#[derive(Clone, Debug)]
pub struct Rendezvous {
    secret: Secret,
}

/// Where and as whom two agents meet, for one bucket of time.
#[derive(Clone, PartialEq, Eq)]
pub struct Meeting {
    /// The number of the bucket: minutes since 1970, rounded; one higher in
    /// the newer of two meetings.
    pub bucket: u64,
    /// The ports, 1024 to 65535, all distinct, local and remote alike: even
    /// ones in even buckets, odd in odd ones. They are tried in this order.
    pub ports: [u16; PORTS],
    /// The username fragment of both sides, 8 ice-chars.
    pub ufrag: Box<str>,
    /// The password of both sides, 24 ice-chars. A secret.
    pub pwd: Box<str>,
}

/// Who sent a request, by its tie-breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encounter {
    /// We did: it is to be dropped unanswered.
    Ourselves,
    /// Another, and in a role conflict we control.
    WeControl,
    /// Another, and in a role conflict it controls.
    TheyControl,
}

/// Compares our tie-breaker with that of an authenticated request.
pub fn encounter(ours: u64, theirs: u64) -> Encounter {
    match ours.cmp(&theirs) {
        std::cmp::Ordering::Equal => Encounter::Ourselves,
        std::cmp::Ordering::Greater => Encounter::WeControl,
        std::cmp::Ordering::Less => Encounter::TheyControl,
    }
}

/// The older of the two buckets at a time since the Unix epoch; the newer is
/// the next one.
fn older(since_unix: Duration) -> u64 {
    let rounded = since_unix.as_nanos() + BUCKET.as_nanos() / 2;
    // At most 2⁶⁴ / 60.
    u64::try_from(rounded / BUCKET.as_nanos()).unwrap_or(u64::MAX - 1)
}

impl Rendezvous {
    /// With a secret that the peer has too.
    pub fn new(secret: Secret) -> Self {
        Rendezvous { secret }
    }

    /// The two meetings at a time since the Unix epoch (of the wall clock, in
    /// UTC), the older first. Any duration will do.
    pub fn meetings(&self, since_unix: Duration) -> [Meeting; 2] {
        let older = older(since_unix);
        [self.meeting(older), self.meeting(older.saturating_add(1))]
    }

    /// How long from this time since the Unix epoch until the older meeting
    /// ends and another begins: more than zero, at most 60 s. The newer one
    /// lasts 60 s longer.
    pub fn changes_in(since_unix: Duration) -> Duration {
        let into = (since_unix.as_nanos() + BUCKET.as_nanos() / 2) % BUCKET.as_nanos();
        let into = Duration::from_nanos(u64::try_from(into).unwrap_or(0));
        BUCKET.saturating_sub(into)
    }

    /// The meeting of one bucket.
    pub fn meeting(&self, bucket: u64) -> Meeting {
        let number = bucket.to_be_bytes();
        Meeting {
            bucket,
            ports: self.ports(bucket),
            ufrag: ice_chars(self.secret.derive::<UFRAG_LEN>(&[b"ufrag", &number])),
            pwd: ice_chars(self.secret.derive::<PWD_LEN>(&[b"pwd", &number])),
        }
    }

    fn ports(&self, bucket: u64) -> [u16; PORTS] {
        let odd = u16::from(!bucket.is_multiple_of(2));
        let drawn: [u8; PORTS * 4] = self.secret.derive(&[b"ports", &bucket.to_be_bytes()]);
        let mut ports = [0; PORTS];
        for (at, four) in drawn.as_chunks::<4>().0.iter().enumerate() {
            // Of 32 bits, so that no port is likelier by more than 1 in 100,000.
            let pick = u32::from_be_bytes(*four) % u32::from(CHOICE);
            let mut pick = u16::try_from(pick).unwrap_or(0);
            let port = |pick: u16| MIN_PORT + 2 * pick + odd;
            while ports[..at].contains(&port(pick)) {
                pick = (pick + 1) % CHOICE;
            }
            ports[at] = port(pick);
        }
        ports
    }
}

fn ice_chars<const N: usize>(bytes: [u8; N]) -> Box<str> {
    bytes
        .iter()
        .map(|byte| char::from(ICE_CHARS[usize::from(byte % 64)]))
        .collect::<String>()
        .into()
}

impl fmt::Debug for Meeting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meeting")
            .field("bucket", &self.bucket)
            .field("ports", &self.ports)
            .finish_non_exhaustive()
    }
}
