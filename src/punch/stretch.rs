//! A passphrase made costly to guess.

use argon2::{Algorithm, Argon2, Block, Params, Version};

use crate::punch::{Secret, SecretError};

/// RFC 9106 §4, the second recommended option: 64 MiB, 3 passes, 4 lanes.
const MEMORY_KIB: u32 = 64 * 1024;
const PASSES: u32 = 3;
const LANES: u32 = 4;
/// Both sides must know the salt beforehand, so it is fixed.
const SALT: &[u8] = b"floe rendezvous passphrase 1";
/// Shorter passphrases are refused; 12 characters alone make none a good one.
const MIN_CHARS: usize = 12;

impl Secret {
    /// A secret from a passphrase, by Argon2id: 64 MiB of memory and a few
    /// tenths of a second, so not to be called where others wait. The
    /// passphrase counts byte for byte: both sides have to write it alike.
    ///
    /// Whoever captures one check, or sees which ports are used, can try
    /// passphrases without anyone noticing, at that cost each, and as the salt
    /// is fixed, can prepare for it. [`Secret::new_text`] has no such weakness.
    ///
    /// # Errors
    /// [`SecretError::TooShort`] for one of less than 12 characters.
    pub fn from_passphrase(passphrase: &str) -> Result<Self, SecretError> {
        if passphrase.chars().count() < MIN_CHARS {
            return Err(SecretError::TooShort);
        }
        Ok(Secret::of(&[b"pass ".as_slice(), &stretched(passphrase.as_bytes())].concat()))
    }
}

fn stretched(passphrase: &[u8]) -> [u8; 32] {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, Some(32))
        .expect("invariant: the parameters are in Argon2's ranges");
    let mut memory = vec![Block::default(); params.block_count()];
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut out = [0; 32];
    // Only a passphrase of 4 GiB would be refused; its start does as well.
    let most = passphrase.len().min(argon2::MAX_PWD_LEN);
    argon2
        .hash_password_into_with_memory(&passphrase[..most], SALT, &mut out, &mut memory)
        .expect("invariant: salt, lengths and memory fit the parameters");
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::punch::Rendezvous;

    #[test]
    fn a_passphrase_gives_one_secret_and_another_another() {
        let ufrag = |text: &str| {
            Some(Rendezvous::new(Secret::from_passphrase(text).ok()?).meeting(0).ufrag)
        };
        // It stays as it is: two versions have to meet.
        assert_eq!(ufrag("correct horse battery").as_deref(), Some("xajoS6nR"));
        assert_ne!(ufrag("correct horse batterz").as_deref(), Some("xajoS6nR"));
        assert_eq!(Secret::from_passphrase("hunter2").err(), Some(SecretError::TooShort));
    }
}
