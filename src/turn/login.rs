//! The long-term credential mechanism of RFC 8489 §9.2, as its client.

use std::sync::Arc;

use crate::stun::{
    self, Algorithm, AttributeType, Builder, Integrity, IntegrityKey, Message, PasswordAlgorithm,
};
use crate::turn::Secrets;
use crate::turn::challenge::{Challenge, Features, algorithm_value};

/// The secrets, and what the server has said of how it wants them.
#[derive(Clone, Debug)]
pub(super) struct Login {
    secrets: Secrets,
    /// Which secrets they are: a number that [`Login::renew`] changes.
    edition: u32,
    /// `None`: the server has not asked.
    session: Option<Arc<Session>>,
    /// A response was signed under these or earlier secrets.
    is_proven: bool,
}

/// What a request is signed with, and its response is verified by.
#[derive(Debug)]
pub(super) struct Session {
    realm: Box<str>,
    nonce: Box<[u8]>,
    features: Features,
    algorithms: Option<(Box<[u8]>, PasswordAlgorithm)>,
    edition: u32,
    user: User,
    key: IntegrityKey,
}

/// How the user is named.
#[derive(Debug)]
enum User {
    Name(Box<str>),
    Hash([u8; 32]),
}

/// What follows from a 401 or 438 response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The request is repeated with what the login is now.
    Retry,
    /// The server does not take the secrets.
    Refused,
    /// It took them before, and does not now.
    Expired,
    /// The server cannot be followed: the end of a sentence.
    Impossible(&'static str),
}

impl Login {
    pub(super) fn new(secrets: Secrets) -> Self {
        Login { secrets, edition: 0, session: None, is_proven: false }
    }

    /// What the next request is signed with; `None`: nothing, as the first
    /// request is (RFC 8489 §9.2.3.1).
    pub(super) fn session(&self) -> Option<Arc<Session>> {
        self.session.clone()
    }

    pub(super) fn username(&self) -> &str {
        &self.secrets.username
    }

    /// The server's, once it has asked.
    pub(super) fn realm(&self) -> Box<str> {
        self.session.as_ref().map(|session| session.realm.clone()).unwrap_or_default()
    }

    /// The server has signed a response.
    pub(super) fn prove(&mut self) {
        self.is_proven = true;
    }

    pub(super) fn renew(&mut self, secrets: Secrets) {
        self.secrets = secrets;
        self.edition = self.edition.wrapping_add(1);
        if let Some(old) = &self.session {
            let algorithms = old.algorithms.as_ref().map(|(list, chosen)| (&**list, *chosen));
            let Session { realm, nonce, features, .. } = &**old;
            let asked = Challenge { realm, nonce, features: *features, algorithms };
            self.session = Some(Arc::new(Session::new(&self.secrets, self.edition, &asked)));
        }
    }

    /// A 401 response to a request that was signed with `used`.
    pub(super) fn unauthenticated(
        &mut self,
        message: &Message<'_>,
        used: Option<&Session>,
    ) -> Next {
        let challenge = match Challenge::read(message, None) {
            Ok(challenge) => challenge,
            Err(why) => return Next::Impossible(why),
        };
        if !self.is_known(challenge.realm) {
            return Next::Impossible("changes its realm");
        }
        // RFC 8489 §9.2.5: not with the credentials of before.
        if used.is_some_and(|used| used.edition == self.edition) {
            return if self.is_proven { Next::Expired } else { Next::Refused };
        }
        self.follow(&challenge);
        Next::Retry
    }

    /// A 438 response.
    pub(super) fn stale(&mut self, message: &Message<'_>) -> Next {
        let session = self.session.clone();
        let realm = session.as_ref().map(|session| &*session.realm);
        let challenge = match Challenge::read(message, realm) {
            Ok(challenge) => challenge,
            Err(why) => return Next::Impossible(why),
        };
        if !self.is_known(challenge.realm) {
            return Next::Impossible("changes its realm");
        }
        self.follow(&challenge);
        Next::Retry
    }

    fn is_known(&self, realm: &str) -> bool {
        self.session.as_ref().is_none_or(|session| *session.realm == *realm)
    }

    fn follow(&mut self, challenge: &Challenge<'_>) {
        let kept = self.session.as_deref().filter(|session| {
            session.edition == self.edition
                && session.features == challenge.features
                && session.chosen() == challenge.algorithms.map(|(_, chosen)| chosen)
        });
        // The key and the user stay the same with most new nonces.
        let session = match kept {
            Some(session) => session.with_nonce(challenge),
            None => Session::new(&self.secrets, self.edition, challenge),
        };
        self.session = Some(Arc::new(session));
    }
}

impl Session {
    fn new(secrets: &Secrets, edition: u32, challenge: &Challenge<'_>) -> Self {
        let Secrets { username, password } = secrets;
        let name = stun::prepared(username);
        let realm = challenge.realm;
        let chosen = challenge.algorithms.map_or(PasswordAlgorithm::Md5, |(_, chosen)| chosen);
        Session {
            realm: realm.into(),
            nonce: challenge.nonce.into(),
            features: challenge.features,
            algorithms: challenge.algorithms.map(|(list, chosen)| (list.into(), chosen)),
            edition,
            user: match challenge.features.username_anonymity {
                true => User::Hash(stun::userhash(&name, realm)),
                false => User::Name(name.as_ref().into()),
            },
            key: IntegrityKey::long_term(&name, realm, password, chosen),
        }
    }

    fn with_nonce(&self, challenge: &Challenge<'_>) -> Self {
        Session {
            realm: self.realm.clone(),
            nonce: challenge.nonce.into(),
            features: self.features,
            algorithms: challenge.algorithms.map(|(list, chosen)| (list.into(), chosen)),
            edition: self.edition,
            user: match &self.user {
                User::Name(name) => User::Name(name.clone()),
                User::Hash(hash) => User::Hash(*hash),
            },
            key: self.key.clone(),
        }
    }

    fn chosen(&self) -> Option<PasswordAlgorithm> {
        self.algorithms.as_ref().map(|(_, chosen)| *chosen)
    }

    /// MESSAGE-INTEGRITY-SHA256 and nothing else where the server named
    /// password algorithms (RFC 8489 §9.2.5).
    fn integrity(&self) -> Algorithm {
        if self.algorithms.is_some() { Algorithm::Sha256 } else { Algorithm::Sha1 }
    }

    /// Ends a request with the credentials.
    pub(super) fn sign(&self, request: Builder<'_>) {
        let request = match &self.user {
            User::Name(name) => request.attribute(AttributeType::USERNAME, name.as_bytes()),
            User::Hash(hash) => request.attribute(AttributeType::USERHASH, hash),
        };
        let mut request = request
            .attribute(AttributeType::REALM, self.realm.as_bytes())
            .attribute(AttributeType::NONCE, &self.nonce);
        if let Some((list, chosen)) = &self.algorithms {
            request = request
                .attribute(AttributeType::PASSWORD_ALGORITHMS, list)
                .attribute(AttributeType::PASSWORD_ALGORITHM, &algorithm_value(*chosen));
        }
        request.sign(&self.key, self.integrity());
    }

    /// The key.
    pub(super) fn key(&self) -> &IntegrityKey {
        &self.key
    }

    /// Whether `message` is signed with the key of the request, and not by a
    /// weaker algorithm than that was.
    pub(super) fn verify(&self, message: &Message<'_>) -> Integrity {
        let is_weaker = self.integrity() == Algorithm::Sha256
            && message.integrity_algorithm() == Some(Algorithm::Sha1);
        if is_weaker { Integrity::Wrong } else { message.verify(&self.key) }
    }
}
