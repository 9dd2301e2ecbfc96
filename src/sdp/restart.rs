use crate::agent::Credentials;
use crate::sdp::IceAttributes;

/// How the credentials of a media section differ from those that it had
/// before (RFC 8839 §4.4.1.1.1). It does not matter whether they stood in the
/// session or in the section.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CredentialsChange {
    /// They are the same: ICE goes on.
    Unchanged,
    /// Fragment and password are new: an ICE restart, or ICE begins.
    Restart,
    /// Only one of the two is new, which a peer must not do. Nothing can be
    /// verified with a pair of them, so that a restart is the only way on.
    OnlyOne,
    /// There are none any more: ICE ends for the section (RFC 8839 §4.4.3.1).
    Gone,
}

impl IceAttributes {
    /// How the credentials changed since `before`; `None` if there were none.
    pub fn credentials_change(&self, before: Option<&Credentials>) -> CredentialsChange {
        match (before, &self.credentials) {
            (None, None) => CredentialsChange::Unchanged,
            (Some(_), None) => CredentialsChange::Gone,
            (None, Some(_)) => CredentialsChange::Restart,
            (Some(old), Some(new)) => match (old.ufrag != new.ufrag, old.pwd != new.pwd) {
                (false, false) => CredentialsChange::Unchanged,
                (true, true) => CredentialsChange::Restart,
                (true, false) | (false, true) => CredentialsChange::OnlyOne,
            },
        }
    }
}
