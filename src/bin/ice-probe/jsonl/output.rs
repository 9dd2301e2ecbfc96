use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use floe::Agent;
use floe::agent::Credentials;
use serde::Serialize;
use serde_json::Value;

use super::{MAX_LINE, MAX_PAYLOAD, escape_controls};

/// A line from the agent.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub(crate) enum Output {
    /// Our credentials: the first line, and again after a restart.
    Credentials {
        /// The username fragment.
        ufrag: String,
        /// The password.
        pwd: String,
        /// `ice-options`.
        options: Vec<&'static str>,
        /// `ice-pacing`, in milliseconds.
        pacing: u64,
        /// Whether this agent is lite.
        lite: bool,
        /// The peer's username fragment that they answer after a restart.
        #[serde(skip_serializing_if = "Option::is_none")]
        answers: Option<String>,
    },
    /// A candidate of ours.
    Candidate {
        /// The line of RFC 8839.
        candidate: String,
        /// The generation.
        ufrag: String,
    },
    /// No more candidates of ours.
    EndOfCandidates {
        /// The generation.
        ufrag: String,
    },
    /// A message of the agreement on T0, opaque: to be carried to the peer.
    Sync {
        /// The message.
        message: String,
        /// The generation.
        ufrag: String,
    },
    /// A server that gave no candidate.
    CandidateError {
        /// Its URI.
        url: String,
        /// The STUN error code, or 701 when it was not reached.
        code: u16,
        /// A sentence.
        text: String,
    },
    /// A new state.
    State {
        /// The state.
        state: String,
        /// Why.
        reason: String,
    },
    /// A new selected pair.
    Selected {
        /// Of which component.
        component: u16,
        /// Our candidate.
        local: String,
        /// The peer's candidate.
        remote: String,
    },
    /// A datagram from the peer: `text`, or `base64` when it is not UTF-8.
    Received {
        /// On which component.
        component: u16,
        /// The payload as text.
        #[serde(skip_serializing_if = "Option::is_none")]
        text: Option<String>,
        /// The payload in base64.
        #[serde(skip_serializing_if = "Option::is_none")]
        base64: Option<String>,
        /// Whether the datagram was longer than what is shown.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        truncated: bool,
    },
    /// The answer to `stats`.
    Stats {
        /// 1.
        version: u8,
        /// Everything else.
        #[serde(flatten)]
        stats: Value,
    },
    /// What was asked for was not done.
    Error {
        /// A word for programs.
        code: &'static str,
        /// A sentence for people.
        message: String,
        /// The part of the line that is at fault.
        #[serde(skip_serializing_if = "Option::is_none")]
        field: Option<String>,
        /// Where it stands: byte of the line, from 1.
        #[serde(skip_serializing_if = "Option::is_none")]
        position: Option<usize>,
        /// The rule that it breaks.
        #[serde(skip_serializing_if = "Option::is_none")]
        rule: Option<String>,
    },
}

impl Output {
    /// A datagram that arrived on a component, as text where it is UTF-8 and
    /// the line stays within its limit, else in base64.
    pub(crate) fn received(component: u16, datagram: &[u8]) -> Output {
        let truncated = datagram.len() > MAX_PAYLOAD;
        let payload = datagram.get(..MAX_PAYLOAD).unwrap_or(datagram);
        let as_text = |text: &str| Output::Received {
            component,
            text: Some(text.to_owned()),
            base64: None,
            truncated,
        };
        std::str::from_utf8(payload)
            .ok()
            .map(as_text)
            .filter(|output| output.to_line().len() <= MAX_LINE)
            .unwrap_or_else(|| Output::Received {
                component,
                text: None,
                base64: Some(STANDARD.encode(payload)),
                truncated,
            })
    }

    /// The credentials of an agent; after a restart with what they answer.
    pub(crate) fn credentials(
        agent: &Agent,
        credentials: &Credentials,
        answers: Option<Box<str>>,
    ) -> Output {
        Output::Credentials {
            ufrag: credentials.ufrag.to_string(),
            pwd: credentials.pwd.to_string(),
            options: agent.options(),
            pacing: u64::try_from(agent.pacing().as_millis()).unwrap_or(u64::MAX),
            lite: false,
            answers: answers.map(String::from),
        }
    }

    /// An `error` line that is not about a field.
    pub(crate) fn error(code: &'static str, message: impl Into<String>) -> Output {
        Output::Error { code, message: message.into(), field: None, position: None, rule: None }
    }

    /// The line, without its end.
    pub(crate) fn to_line(&self) -> String {
        let line = serde_json::to_string(self).expect("invariant: every key is a string");
        escape_controls(&line)
    }
}
