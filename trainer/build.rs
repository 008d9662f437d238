//! Lets this package's binaries and tests, and those of packages that read the metadata, find libtorch where it was linked, and
//! compiles what `tch` does not bind.

use std::{env, path::Path};

fn main() {
    let Ok(lib) = env::var("DEP_TCH_LIBTORCH_LIB") else { return };
    println!("cargo::rustc-link-arg=-Wl,-rpath,{lib}");
    println!("cargo::metadata=libtorch_lib={lib}");
    println!("cargo::rerun-if-changed=src/native/shim.cpp");
    println!("cargo::rerun-if-env-changed=LIBTORCH_INCLUDE");
    let root = env::var("LIBTORCH_INCLUDE").unwrap_or_else(|_| format!("{lib}/.."));
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .warnings(false)
        .include(Path::new(&root).join("include"))
        .file("src/native/shim.cpp")
        .compile("pleach_native");
}
