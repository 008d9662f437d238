//! Lets the tests find libtorch where the trainer was linked with it.

fn main() {
    if let Ok(lib) = std::env::var("DEP_PLEACH_TRAINER_LIBTORCH_LIB") {
        println!("cargo::rustc-link-arg=-Wl,-rpath,{lib}");
    }
}
