//! The command `indelible`.

use std::process::ExitCode;

fn main() -> ExitCode {
    indelible_server::main()
}
