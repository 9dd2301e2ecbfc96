//! The beginning of a data connection (RFC 6062 §4.3, §4.4): a new stream to
//! the server says which connection to a peer it is for. Once that is answered
//! the stream carries the peer's bytes and nothing else.

use crate::rng::Rng;
use crate::stun::{Message, Method, TransactionId};
use crate::timer::Time;
use crate::turn::login::{Login, Next};
use crate::turn::response::{self, Verdict};
use crate::turn::transactions::{Asking, Purpose, Transactions};
use crate::turn::{Failure, Handled, Settings, request};

/// A stream that is becoming a data connection
/// ([`Client::data_connection`](crate::turn::Client::data_connection)).
#[derive(Debug)]
pub struct DataConnection {
    connection: u32,
    settings: Settings,
    login: Login,
    transactions: Transactions,
    event: Option<DataEvent>,
}

/// What has become of it. There is one event, and then nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DataEvent {
    /// What follows the answer on the stream comes from the peer
    /// (`take_rest` of `tcp::Deframer`), and
    /// what is written to it goes to the peer.
    Bound,
    /// The stream is of no use, and is to be closed.
    Refused(Failure),
}

impl DataConnection {
    pub(super) fn new(connection: u32, settings: &Settings, login: &Login) -> Self {
        let settings = Settings { reliable: true, ..settings.clone() };
        let transactions = Transactions::new(&settings);
        DataConnection { connection, settings, login: login.clone(), transactions, event: None }
    }

    /// The stream is open.
    pub fn start(&mut self, now: Time, rng: &mut Rng) {
        self.transactions.add(Purpose::Bind(self.connection));
        self.begin(now, rng);
    }

    /// A STUN message from the server on this stream.
    pub fn handle_message(&mut self, message: &Message<'_>, now: Time, rng: &mut Rng) -> Handled {
        let id = message.transaction_id();
        let Some((at, purpose, asking)) = self.transactions.find(id) else {
            return if self.transactions.has_ended(id) { Handled::Late } else { Handled::Foreign };
        };
        if !response::is_response(message, purpose.method()) {
            return Handled::Foreign;
        }
        let session = asking.session.clone();
        match response::judge(message, session.as_deref(), true) {
            Verdict::Discard(code) => self.transactions.discard(at, code),
            Verdict::Success => self.end(at, DataEvent::Bound),
            Verdict::Broken(code) => self.refuse(at, Failure::unsigned(code)),
            Verdict::Useless(why) => self.refuse(at, Failure::useless(why)),
            Verdict::Refused(error) => self.refuse(at, Failure::refused(error)),
            Verdict::Unauthenticated => {
                let next = self.login.unauthenticated(message, session.as_deref());
                self.follow(at, (401, next), now, rng);
            }
            Verdict::Stale => {
                let next = self.login.stale(message);
                self.follow(at, (438, next), now, rng);
            }
        }
        Handled::Used
    }

    /// It is `now`.
    pub fn handle_timeout(&mut self, now: Time, rng: &mut Rng) {
        for (_, failure) in self.transactions.handle_timeout(now) {
            self.event = Some(DataEvent::Refused(failure));
        }
        self.begin(now, rng);
    }

    /// When [`DataConnection::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Time> {
        self.transactions.poll_timeout()
    }

    /// The request with this id, where it waits for its answer.
    pub(crate) fn asking(&self, id: TransactionId) -> Option<&Asking> {
        Some(self.transactions.find(id)?.2)
    }

    /// A request to write to the stream now, written into `out`, which is
    /// cleared first.
    pub fn poll_request(&mut self, out: &mut Vec<u8>) -> Option<Method> {
        self.transactions.poll_request(out)
    }

    /// What has become of it.
    pub fn poll_event(&mut self) -> Option<DataEvent> {
        self.event.take()
    }

    fn begin(&mut self, now: Time, rng: &mut Rng) {
        while let Some((at, purpose)) = self.transactions.next_to_begin(now) {
            self.ask(at, purpose, now, rng);
        }
    }

    fn ask(&mut self, at: usize, purpose: Purpose, now: Time, rng: &mut Rng) {
        let id = TransactionId(rng.bytes());
        let session = self.login.session();
        let bytes = request::write(purpose, id, (&self.settings, None), session.as_deref());
        self.transactions.ask(at, id, bytes, session, now);
    }

    fn follow(&mut self, at: usize, (code, next): (u16, Next), now: Time, rng: &mut Rng) {
        match next {
            Next::Retry if self.transactions.may_take_nonce(at) => {
                self.ask(at, Purpose::Bind(self.connection), now, rng);
            }
            Next::Retry => self.refuse(at, Failure::nonces()),
            Next::Expired | Next::Refused => {
                let failure = Failure::secrets(self.login.username(), &self.login.realm());
                self.refuse(at, failure);
            }
            Next::Impossible(why) => self.refuse(at, Failure::challenge(code, why)),
        }
    }

    fn refuse(&mut self, at: usize, failure: Failure) {
        self.end(at, DataEvent::Refused(failure));
    }

    fn end(&mut self, at: usize, event: DataEvent) {
        self.transactions.end(at);
        self.event = Some(event);
    }
}
