//! The networks, written once; noise schedules, samplers and file formats.

pub mod architecture;
pub mod attention;
pub mod backend;
pub mod checkpoint;
pub mod clip;
pub mod config;
pub mod counter;
pub mod error;
pub mod files;
pub mod infer;
pub mod layers;
pub mod manifest;
pub mod noise;
pub mod op;
pub mod params;
pub mod reference;
pub mod resnet;
pub mod samplers;
pub mod schedule;
pub mod sentence;
pub mod shape;
pub mod sites;
pub mod tensor;
pub mod trace;
pub mod unet;
pub mod vae;
