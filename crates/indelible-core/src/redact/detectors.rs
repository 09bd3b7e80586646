//! Which kinds of secret are looked for in values.

use crate::query::suggest::{did_you_mean, nearest};

/// A kind of secret that is recognised by its shape, whatever it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detector {
    /// `card`: payment card numbers, 13 to 19 digits in groups or not, of a known issuer and with a valid Luhn digit.
    Card,
    /// `jwt`: JSON Web Tokens, signed or encrypted.
    Jwt,
    /// `bearer`: what follows `Bearer`.
    Bearer,
    /// `basic`: what follows `Basic`.
    Basic,
    /// `private_key`: PEM blocks of private keys, also without their end.
    PrivateKey,
    /// `url_password`: the password in `scheme://user:password@host`.
    UrlPassword,
    /// `api_token`: keys and tokens of well-known services, which begin with their own prefix: `ghp_…`, `AKIA…`, `sk_live_…`;
    /// and the segment of a path that Django's links for a new password hold.
    ApiToken,
    /// `password_hash`: stored passwords as Django, bcrypt, Argon2 and crypt(3) write them: `pbkdf2_sha256$…`, `$2b$…`.
    PasswordHash,
}

impl Detector {
    /// Every detector.
    pub const ALL: [Self; 8] =
        [Self::Card, Self::Jwt, Self::Bearer, Self::Basic, Self::PrivateKey, Self::UrlPassword, Self::ApiToken, Self::PasswordHash];

    /// The name used in settings.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Card => "card",
            Self::Jwt => "jwt",
            Self::Bearer => "bearer",
            Self::Basic => "basic",
            Self::PrivateKey => "private_key",
            Self::UrlPassword => "url_password",
            Self::ApiToken => "api_token",
            Self::PasswordHash => "password_hash",
        }
    }

    const fn bit(self) -> u16 {
        1 << self as u8
    }
}

/// A set of [`Detector`]s.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Detectors(u16);

impl Detectors {
    /// All of them.
    #[must_use]
    pub const fn all() -> Self {
        Self((1 << Detector::ALL.len()) - 1)
    }

    /// None: values are masked by their names only.
    #[must_use]
    pub const fn none() -> Self {
        Self(0)
    }

    /// This set and `detector`.
    #[must_use]
    pub const fn with(self, detector: Detector) -> Self {
        Self(self.0 | detector.bit())
    }

    /// Whether `detector` is switched on.
    #[must_use]
    pub const fn has(self, detector: Detector) -> bool {
        self.0 & detector.bit() != 0
    }

    /// Reads the names of settings.
    ///
    /// # Errors
    /// [`UnknownDetector`] for the first name that is none.
    pub fn parse<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, UnknownDetector> {
        names.into_iter().try_fold(Self::none(), |set, name| match Detector::ALL.into_iter().find(|detector| detector.as_str() == name) {
            Some(detector) => Ok(set.with(detector)),
            None => Err(UnknownDetector::new(name)),
        })
    }
}

impl Default for Detectors {
    fn default() -> Self {
        Self::all()
    }
}

/// A name that is not one of a [`Detector`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown detector {name:?}{}; there are card, jwt, bearer, basic, private_key, url_password, api_token and password_hash", did_you_mean(*.nearest))]
pub struct UnknownDetector {
    /// What was written.
    pub name: String,
    /// The detector that was probably meant.
    pub nearest: Option<&'static str>,
}

impl UnknownDetector {
    fn new(name: &str) -> Self {
        Self { name: name.to_owned(), nearest: nearest(name, Detector::ALL.into_iter().map(Detector::as_str)) }
    }
}
