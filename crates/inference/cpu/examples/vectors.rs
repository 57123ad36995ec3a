//! Makes `vectors/f32-q8-1.json`: `cargo run -p tributary-cpu --example vectors > crates/inference/cpu/vectors/f32-q8-1.json`.

fn main() {
    print!("{}", tributary_cpu::generate_vectors());
}
