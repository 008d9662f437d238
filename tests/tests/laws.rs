//! Laws that hold at every shape and for every architecture, seen or not.

use anyhow::Result;
use pleach_model::{
    architecture::Architecture,
    counter::{self, At},
    noise::Generator,
    params::{Listing, Params},
    reference::Reference,
    sites::Pass,
    tensor::Dtype,
    unet::UNet,
};
use pleach_tests::{
    cases::{Case, Operand, cases},
    networks::Engine,
    random::{RandomWeights, pruned, small_unet},
    tensor::Tensor,
};
use pleach_trainer::torch::{Device, Torch};

/// What rounding makes of sums of at most some hundred terms of size 1, in units of the largest number: some units in the last place.
const OPERATION: [(Dtype, f32); 3] = [(Dtype::F32, 1e-5), (Dtype::F16, 2e-3), (Dtype::Bf16, 1.6e-2)];

fn torch() -> Torch {
    Torch::new(Device::Cpu, Dtype::F32).unwrap()
}

/// Carries an operation out on numbers of a type.
fn run<B: Engine>(engine: &B, case: &Case, dtype: Dtype) -> Result<Tensor> {
    let give = |operand: &Operand| match operand {
        Operand::Floats(tensor) => Ok(engine.cast(&engine.give(tensor)?, dtype)?),
        Operand::Ids(tensor) => engine.give_ids(tensor),
    };
    let values = case.operands.iter().map(give).collect::<Result<Vec<_>>>()?;
    let result = engine.run(case.op.clone(), &values.iter().collect::<Vec<_>>())?;
    engine.take(&engine.cast(&result, Dtype::F32)?)
}

#[test]
fn every_operation_is_the_same_in_libtorch_and_in_the_reference() {
    let (torch, reference) = (torch(), Reference::default());
    for case in (0..40).flat_map(cases) {
        for (dtype, tolerance) in OPERATION {
            let found = run(&torch, &case, dtype).unwrap();
            let expected = run(&reference, &case, dtype).unwrap();
            let relative = found.difference(&expected) / expected.largest().max(1.0);
            assert!(relative <= tolerance, "{case:?} in {dtype}: {found:?} differs from {expected:?} by {relative:e}");
        }
    }
}

#[test]
fn every_architecture_has_the_parameters_that_are_listed_and_keeps_the_shape() {
    let (config, mut draw) = (small_unet(), Generator::new(3));
    let (torch, reference) = (torch(), Reference::default());
    let mut counts = std::collections::BTreeSet::new();
    for seed in 0..12 {
        let architecture = if seed == 0 { Architecture::full() } else { pruned(&config, &mut draw) };
        let at = At { height: 8, width: 8, tokens: 5 };
        let expected = counter::unet(&config, &architecture, at).unwrap().tensors;
        let source = Listing::new(RandomWeights::new(seed));
        let network = UNet::new(&config, &architecture, &Params::new(&torch, &source)).unwrap();
        let again = UNet::new(&config, &architecture, &Params::new(&reference, &RandomWeights::new(seed))).unwrap();
        counts.insert(expected.iter().map(|spec| spec.numel()).sum::<usize>());
        assert_eq!(source.into_specs(), expected, "{architecture:?}");

        // Sides that no power of two divides are cropped where they are doubled.
        let [batch, height, width, tokens] = [3, 13, 13, 9].map(|most| 1 + draw.random() as usize % most);
        let mut noise = |shape: &[usize]| Tensor::new(shape, draw.randn(shape.iter().product()));
        let (sample, context) = (noise(&[batch, 4, height, width]), noise(&[batch, tokens, 12]));
        let timestep = Tensor::new(&[1], vec![321.0]);
        let found = forward(&torch, &network, [&sample, &timestep, &context]).unwrap();
        let expected = forward(&reference, &again, [&sample, &timestep, &context]).unwrap();
        assert_eq!(found.shape, sample.shape);
        let difference = found.difference(&expected);
        assert!(difference <= 1e-4, "{architecture:?} at {:?}: differs by {difference:e}", sample.shape);
    }
    assert!(counts.len() > 6, "the architectures hardly differ: {counts:?}");
}

fn forward<B: Engine>(engine: &B, network: &UNet<B>, inputs: [&Tensor; 3]) -> Result<Tensor> {
    let [sample, timestep, context] = inputs.map(|tensor| engine.give(tensor));
    engine.take(&network.forward(&Pass::plain(engine), &sample?, &timestep?, &context?)?)
}
