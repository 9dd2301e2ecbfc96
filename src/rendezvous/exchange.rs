//! What happens between two visitors of a room until they trust each other,
//! and what each seals for the other afterwards.

use std::collections::VecDeque;
use std::fmt;

use hkdf::Hkdf;
use rand_core::{CryptoRng, RngCore};
use sha2::Sha256;
use spake2::{Ed25519Group, Identity, Password, Spake2};
use subtle::ConstantTimeEq;

use super::code::Code;
use super::seal::{Direction, OVERHEAD};
use super::visit::MAX_MESSAGE;
use crate::rng::Rng;

/// How often a side plays with somebody who does not know the secret.
pub const GUESSES: u8 = 3;

/// The most bytes that [`Exchange::seal`] takes.
pub const MAX_SEALED: usize = MAX_MESSAGE - OVERHEAD - 1;

/// Which kind a message is: its first byte.
const KEY: u8 = 1;
const PROOF: u8 = 2;
const SEALED: u8 = 3;

/// Between this and other uses of the same secret.
const SALT: &[u8] = b"floe room 1";

/// The two sides, told apart by their messages: whose key message is the
/// smaller one is [`Side::Low`]. The server has no say in it that would help
/// it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The one with the smaller key message.
    Low,
    /// The other one.
    High,
}

/// What has to be done, or has happened.
#[derive(Clone, PartialEq, Eq)]
pub enum Step {
    /// A message to be carried to the other visitor.
    Send(Vec<u8>),
    /// The other one knows the secret: [`Exchange::seal`] works from now on.
    Trusted(Side),
    /// The other one sealed this.
    Opened(Vec<u8>),
    /// The other one does not know the secret, or left when it was to prove
    /// it, or the server lies. How many guesses are left.
    Wrong {
        /// Until the exchange is over.
        left: u8,
    },
    /// After that many wrong guesses it takes part no more.
    Over,
    /// Something came that the other one cannot have sent, and was dropped.
    Dropped,
}

/// One side of the exchange. It plays with one visitor after the other until
/// one of them knows the secret.
pub struct Exchange {
    code: Code,
    rng: Rng,
    guesses: u8,
    state: State,
    steps: VecDeque<Step>,
}

enum State {
    /// There is nobody else.
    Alone,
    /// Our key message is under way.
    Greeted { ours: Vec<u8>, pake: Box<Spake2<Ed25519Group>> },
    /// Our proof is under way.
    Proving { side: Side, keys: Box<Keys> },
    /// The other one has proved it.
    Trusted { keys: Box<Keys> },
    /// There were too many wrong guesses.
    Over,
}

/// What both sides have in common.
struct Keys {
    /// What the other side's proof has to be.
    proof: [u8; 32],
    ours: Direction,
    theirs: Direction,
}

impl Exchange {
    /// A side that knows the code.
    pub fn new(code: &Code, rng: Rng) -> Self {
        let (state, steps) = (State::Alone, VecDeque::new());
        Exchange { code: code.clone(), rng, guesses: 0, state, steps }
    }

    /// There is another visitor, and a new one if there was one before.
    pub fn met(&mut self) {
        match self.state {
            State::Proving { .. } => {
                self.wrong();
                self.greet();
            }
            State::Alone | State::Greeted { .. } => self.greet(),
            // Whoever comes later is not the one that is trusted.
            State::Trusted { .. } | State::Over => {}
        }
    }

    /// The other visitor has left.
    pub fn left(&mut self) {
        match self.state {
            State::Proving { .. } => self.wrong(),
            State::Greeted { .. } => self.state = State::Alone,
            State::Alone | State::Trusted { .. } | State::Over => {}
        }
    }

    /// A message came by way of the server.
    pub fn received(&mut self, message: &[u8]) {
        let state = std::mem::replace(&mut self.state, State::Alone);
        let Some((kind, body)) = message.split_first() else {
            return self.drop_in(state);
        };
        match (*kind, state) {
            (KEY, State::Greeted { ours, pake }) => self.agree(ours, *pake, body),
            (PROOF, State::Proving { side, keys }) => self.check(side, keys, body),
            (SEALED, State::Trusted { mut keys }) => {
                let step = keys.theirs.open(body).map_or(Step::Dropped, Step::Opened);
                self.steps.push_back(step);
                self.state = State::Trusted { keys };
            }
            (_, state) => self.drop_in(state),
        }
    }

    /// Seals a message for the one who is trusted, to be carried to it.
    /// `None` before there is one, and above [`MAX_SEALED`] bytes.
    pub fn seal(&mut self, plain: &[u8]) -> Option<Vec<u8>> {
        let State::Trusted { keys } = &mut self.state else { return None };
        if plain.len() > MAX_SEALED {
            return None;
        }
        keys.ours.seal(plain).map(|sealed| [&[SEALED][..], &sealed].concat())
    }

    /// What is to be done next.
    pub fn poll(&mut self) -> Option<Step> {
        self.steps.pop_front()
    }

    /// Whether the other one has proved that it knows the secret.
    pub fn is_trusted(&self) -> bool {
        matches!(self.state, State::Trusted { .. })
    }

    fn drop_in(&mut self, state: State) {
        self.state = state;
        // One is as good as many, which a server could send without end.
        if self.steps.back() != Some(&Step::Dropped) {
            self.steps.push_back(Step::Dropped);
        }
    }

    /// Each visitor gets a key message of its own.
    fn greet(&mut self) {
        if matches!(self.state, State::Over) {
            return;
        }
        let password = Password::new(self.code.secret());
        let room = Identity::new(&[SALT, b" ", self.code.name().as_bytes()].concat());
        let (pake, ours) = Spake2::start_symmetric_with_rng(&password, &room, Drawn(&mut self.rng));
        self.steps.push_back(Step::Send([&[KEY][..], &ours].concat()));
        self.state = State::Greeted { ours, pake: Box::new(pake) };
    }

    /// The other one's key message is here: the proof goes out, and with it
    /// the chance to try one guess.
    fn agree(&mut self, ours: Vec<u8>, pake: Spake2<Ed25519Group>, theirs: &[u8]) {
        // Our own, come back, proves nothing; and only a whole one is an answer.
        let is_ours = ours == theirs;
        let common = if is_ours { None } else { pake.finish(theirs).ok() };
        let Some(common) = common else {
            // Nothing was shown of the secret, so that it costs no guess.
            self.steps.push_back(Step::Dropped);
            self.state = State::Alone;
            return;
        };
        let side = if ours.as_slice() < theirs { Side::Low } else { Side::High };
        let (mine, others) = match side {
            Side::Low => ("low", "high"),
            Side::High => ("high", "low"),
        };
        let keys = Hkdf::<Sha256>::new(Some(SALT), &common);
        let derive = |what: &str, whose: &str| {
            let mut key = [0; 32];
            keys.expand_multi_info(&[what.as_bytes(), b" ", whose.as_bytes()], &mut key)
                .expect("invariant: HKDF gives 32 bytes");
            key
        };
        let proof = derive("proof", mine);
        self.steps.push_back(Step::Send([&[PROOF][..], &proof].concat()));
        let keys = Keys {
            proof: derive("proof", others),
            ours: Direction::new(&derive("sealed", mine)),
            theirs: Direction::new(&derive("sealed", others)),
        };
        self.state = State::Proving { side, keys: Box::new(keys) };
    }

    fn check(&mut self, side: Side, keys: Box<Keys>, proof: &[u8]) {
        if bool::from(keys.proof.ct_eq(proof)) {
            self.steps.push_back(Step::Trusted(side));
            self.state = State::Trusted { keys };
        } else {
            self.wrong();
        }
    }

    /// Whoever saw our proof has had a guess.
    fn wrong(&mut self) {
        self.guesses += 1;
        let left = GUESSES.saturating_sub(self.guesses);
        self.steps.push_back(Step::Wrong { left });
        self.state = if left > 0 { State::Alone } else { State::Over };
        if left == 0 {
            self.steps.push_back(Step::Over);
        }
    }
}

#[cfg(test)]
impl Exchange {
    pub(super) fn wrong_for_test(&mut self) {
        self.wrong();
    }
}

/// Our random source as `spake2` draws from it.
struct Drawn<'a>(&'a mut Rng);

impl RngCore for Drawn<'_> {
    fn next_u32(&mut self) -> u32 {
        u32::from_le_bytes(self.0.bytes())
    }

    fn next_u64(&mut self) -> u64 {
        u64::from_le_bytes(self.0.bytes())
    }

    fn fill_bytes(&mut self, dest: &mut [u8]) {
        dest.chunks_mut(32).for_each(|part| {
            part.copy_from_slice(&self.0.bytes::<32>()[..part.len()]);
        });
    }

    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), rand_core::Error> {
        self.fill_bytes(dest);
        Ok(())
    }
}

impl CryptoRng for Drawn<'_> {}

impl State {
    fn word(&self) -> &'static str {
        match self {
            State::Alone => "alone",
            State::Greeted { .. } => "greeted",
            State::Proving { .. } => "proving",
            State::Trusted { .. } => "trusted",
            State::Over => "over",
        }
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange")
            .field("code", &self.code)
            .field("state", &self.state.word())
            .field("guesses", &self.guesses)
            .finish_non_exhaustive()
    }
}

/// What was opened is not shown.
impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Send(message) => write!(f, "Send({} bytes)", message.len()),
            Step::Trusted(side) => write!(f, "Trusted({side:?})"),
            Step::Opened(plain) => write!(f, "Opened({} bytes)", plain.len()),
            Step::Wrong { left } => write!(f, "Wrong {{ left: {left} }}"),
            Step::Over => f.write_str("Over"),
            Step::Dropped => f.write_str("Dropped"),
        }
    }
}
