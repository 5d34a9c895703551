//! What is wrong with keys and signatures.

/// A key that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The file is no PEM text.
    #[error("it is no key in PEM form: {problem}")]
    Pem {
        /// What is wrong with it.
        problem: &'static str,
    },
    /// It is a PEM text of something else.
    #[error("it holds {got:?}, want {want}")]
    Kind {
        /// What it says it is.
        got: String,
        /// What was looked for.
        want: &'static str,
    },
    /// The key is of another algorithm, or damaged.
    #[error("it is neither an ECDSA key on the curve P-256 nor an Ed25519 key")]
    Algorithm,
    /// The box around the private key is not one that cosign makes.
    #[error("its encryption cannot be read: {problem}")]
    Sealing {
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The password does not open the box.
    #[error("the password does not open it")]
    Password,
    /// The system has no random numbers, or no memory.
    #[error("making it: {problem}")]
    Making {
        /// What failed.
        problem: &'static str,
    },
}

/// Why a signature is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// It is not in a form that can be read.
    #[error("it cannot be read: {problem}")]
    Form {
        /// What is wrong with it.
        problem: String,
    },
    /// The key has not made it, or what it signs was changed afterwards.
    #[error("it was not made with this key, or what it signs was changed")]
    Key,
    /// It signs another manifest.
    #[error("it is for {got}, want {want}")]
    Digest {
        /// The manifest in the signature.
        got: String,
        /// The manifest that was asked about.
        want: String,
    },
    /// It is for an image of another name.
    #[error("it is for the name {got:?}, want {want}")]
    Identity {
        /// The name in the signature.
        got: String,
        /// What would have been right.
        want: String,
    },
}

impl Flaw {
    /// Returns the one that tells most. That another key made a signature says least: several keys sign most images.
    pub fn most_telling(flaws: Vec<Self>) -> Option<Self> {
        let first = flaws.first().cloned();
        flaws.into_iter().find(|flaw| *flaw != Self::Key).or(first)
    }
}
