//! What the fuzz targets drive of this crate, and no part of any product.

mod codecs;
mod ingest;

pub use codecs::{block, run};
pub use ingest::ingest;
