//! The noise generator against `torch.randn` of PyTorch 2.11.0 on the CPU.

mod common;

use common::Fixture;
use pleach_model::noise::Generator;

#[test]
fn bits() {
    let fixture = Fixture::open("noise.safetensors");
    let (mut same, mut all) = (0, 0);
    for name in fixture.names() {
        let (shape, expected) = fixture.f32(&name);
        let seed = name.split('.').next().unwrap().parse().unwrap();
        let noise = Generator::new(seed).randn(shape.iter().product());
        let eq = noise.iter().zip(&expected).filter(|(a, b)| a.to_bits() == b.to_bits()).count();
        let max = noise.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
        println!("{name} {eq}/{} max {max:e}", expected.len());
        same += eq;
        all += expected.len();
    }
    println!("{same}/{all}");
}
