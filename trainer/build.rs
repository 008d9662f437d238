//! Lets this package's binaries and tests, and those of packages that read the metadata, find libtorch where it was linked.

fn main() {
    if let Ok(lib) = std::env::var("DEP_TCH_LIBTORCH_LIB") {
        println!("cargo::rustc-link-arg=-Wl,-rpath,{lib}");
        println!("cargo::metadata=libtorch_lib={lib}");
    }
}
