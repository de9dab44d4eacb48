//! Builds the C half.

fn main() {
    println!("cargo:rerun-if-changed=src/planted.c");
    cc::Build::new().file("src/planted.c").compile("planted");
}
