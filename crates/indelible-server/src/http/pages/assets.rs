//! What pages load beside themselves. Names hold a hash over all of it, so a browser may keep it for ever.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use sha2::{Digest as _, Sha256};

use super::super::error::Problem;

/// Name, content type, content.
type Asset = (&'static str, &'static str, &'static [u8]);

const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

macro_rules! asset {
    ($name:literal, $type:expr) => {
        ($name, $type, include_bytes!(concat!("../../../ui/assets/", $name)))
    };
}

const ASSETS: &[Asset] = &[
    asset!("app.css", STYLE),
    asset!("app.js", SCRIPT),
    asset!("copy.js", SCRIPT),
    asset!("keys.js", SCRIPT),
    asset!("settings.js", SCRIPT),
    asset!("times.js", SCRIPT),
    asset!("icon.svg", "image/svg+xml"),
    asset!("ibm-plex-sans-latin-wght-normal.woff2", "font/woff2"),
    asset!("ibm-plex-mono-latin-400-normal.woff2", "font/woff2"),
];

/// Digits of the hash in names.
const HASH_DIGITS: usize = 16;

static HASH: LazyLock<String> = LazyLock::new(|| {
    let mut hash = Sha256::new();
    for (name, _, content) in ASSETS {
        hash.update(name);
        hash.update(Sha256::digest(content));
    }
    let digits: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    digits[..HASH_DIGITS].to_owned()
});

/// The folder that the assets of this program lie in, as pages name it.
pub(super) fn folder() -> String {
    format!("/assets/{}", *HASH)
}

/// Answers one asset. Another program's hash gets nothing: what came under it would be kept for ever.
pub(super) async fn get(Path((hash, name)): Path<(String, String)>) -> Response {
    match ASSETS.iter().find(|(known, ..)| *known == name).filter(|_| hash == *HASH) {
        Some((_, content_type, content)) => {
            let kept = "public, max-age=31536000, immutable";
            ([(header::CONTENT_TYPE, *content_type), (header::CACHE_CONTROL, kept)], *content).into_response()
        }
        None => Problem::new(StatusCode::NOT_FOUND, "there is no such asset").into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The licence asks that the fonts are not changed under their name; the manifest says where they come from.
    #[test]
    fn vendored_files_are_those_of_the_manifest() {
        let manifest = include_str!("../../../ui/assets/MANIFEST");
        let listed: Vec<_> = manifest.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect();
        let fonts: Vec<_> = ASSETS.iter().filter(|(name, ..)| name.ends_with(".woff2")).collect();
        assert_eq!(listed.len(), fonts.len());
        for (name, _, content) in fonts {
            let sha256: String = Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect();
            assert!(listed.iter().any(|line| line.starts_with(&format!("{sha256}  {name}  "))), "{name} is {sha256}");
        }
    }

    #[test]
    fn fonts_weigh_no_more_than_90_kilobytes() {
        let bytes: usize = ASSETS.iter().filter(|(name, ..)| name.ends_with(".woff2")).map(|(.., content)| content.len()).sum();
        assert!(bytes <= 90 * 1024, "{bytes}");
    }
}
