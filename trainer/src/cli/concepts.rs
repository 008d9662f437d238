//! Concepts as commands are given them, and their pictures.

use super::source::Base;
use crate::{
    data::{
        Dataset, ImageFolder, Part, Position,
        cache::{self, BuildOptions, Cache, CachedLoader, CachedOptions, Key},
    },
    encoders::TextEncoder,
    finetune::Batches,
    run,
    suppress::{Concept, ConceptRecipe, ForgettingRecipe, ForgettingSetting, Origin},
};
use anyhow::{Context, ensure};
use clap::Args;
use pleach_console::Printer;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};
use tch::{Device, Tensor};

/// A concept on the command line.
#[derive(Args, Clone, Debug, Default)]
pub struct ConceptArgs {
    /// Phrases by which prompts ask for a concept, instead of the recipe's concepts
    #[arg(long, value_name = "PHRASE")]
    target: Vec<String>,
    /// What takes their place; without it, the empty prompt
    #[arg(long, value_name = "PHRASE", requires = "target")]
    anchor: Option<String>,
    /// Prompts that ask for it, where latents are sampled [default: the phrases]
    #[arg(long, value_name = "PROMPT", requires = "target")]
    concept_prompt: Vec<String>,
    /// Folder of pictures of it, with captions
    #[arg(long, value_name = "FOLDER", requires = "target")]
    concept_images: Option<PathBuf>,
    /// What the manifest calls it [default: the first phrase]
    #[arg(long, value_name = "NAME", requires = "target")]
    concept: Option<String>,
}

impl ConceptArgs {
    /// Replaces a recipe's concepts, where any were given.
    pub fn replace(&self, concepts: &mut Vec<ConceptRecipe>) {
        if self.target.is_empty() {
            return;
        }
        *concepts = vec![ConceptRecipe {
            name: self.concept.clone().unwrap_or_default(),
            targets: self.target.clone(),
            anchor: self.anchor.clone(),
            prompts: self.concept_prompt.clone(),
            images: self.concept_images.clone(),
            ..ConceptRecipe::default()
        }];
    }
}

/// Concepts that can be forgotten, and their pictures.
pub(super) struct Concepts {
    pub list: Vec<Concept>,
    pictures: Vec<Pictures>,
}

struct Pictures {
    dataset: Arc<dyn Dataset>,
    part: Arc<Part>,
    cache: Arc<Cache>,
}

impl Concepts {
    /// Opens them; pictures are encoded into folders in `work`, where a method wants any and that was not done before.
    pub fn open(
        recipes: &[ConceptRecipe],
        origin: Option<Origin>,
        (base, text, device): (&Base, &TextEncoder, Device),
        work: &Path,
        printer: &Printer,
    ) -> anyhow::Result<Self> {
        ensure!(!recipes.is_empty(), "there is nothing to forget: name `concepts` in the recipe, or give --target");
        let list = recipes.iter().map(|recipe| Ok(Concept::new(recipe, text.tokenizer())?));
        let list = list.collect::<anyhow::Result<Vec<_>>>()?;
        let mut pictures = Vec::new();
        let wanted = origin.filter(|origin| *origin != Origin::EsdSampled);
        for (number, (recipe, concept)) in recipes.iter().zip(&list).enumerate() {
            let (Some(origin), Some(folder)) = (wanted, &recipe.images) else { continue };
            let opened =
                Pictures::open(concept, origin, folder, (base, text, device), &work.join(number.to_string()), printer);
            pictures.push(opened.with_context(|| format!("the pictures of the concept {:?}", concept.name))?);
        }
        Ok(Self { list, pictures })
    }

    /// What forgetting works with.
    pub fn setting<'a>(
        &'a self,
        recipe: ForgettingRecipe,
        (base, text, null): (&'a Base, &'a TextEncoder, &Tensor),
        seed: u64,
        device: Device,
    ) -> ForgettingSetting<'a> {
        let pictures = self.pictures.iter().map(|pictures| {
            let open = move |position| pictures.batches((recipe.batch, seed), position);
            Box::new(open) as Box<dyn FnMut(Position) -> run::Result<Batches> + 'a>
        });
        ForgettingSetting {
            recipe,
            concepts: self.list.clone(),
            pictures: pictures.collect(),
            text,
            null: null.shallow_clone(),
            schedule: &base.schedule,
            scaling: base.vae.scaling_factor,
            latents: base.latents(),
            seed,
            device,
        }
    }

    /// What they are called.
    pub fn names(&self) -> Vec<String> {
        self.list.iter().map(|concept| concept.name.clone()).collect()
    }
}

impl Pictures {
    fn open(
        concept: &Concept,
        origin: Origin,
        folder: &Path,
        (base, text, device): (&Base, &TextEncoder, Device),
        cache: &Path,
        printer: &Printer,
    ) -> anyhow::Result<Self> {
        let dataset: Arc<dyn Dataset> = Arc::new(ImageFolder::open(folder, None)?);
        let fits = |caption: &String| -> anyhow::Result<bool> {
            Ok(match origin {
                Origin::AnchorImages => concept.asked(caption, 0).is_some(),
                // Without an anchor any picture that was given will do; with one, the caption must say what it takes the place of.
                _ if concept.anchor.is_none() => true,
                _ => concept.is_asked(caption) && !concept.is_cut(caption, text.tokenizer())?,
            })
        };
        let captions = (0..dataset.len()).map(|index| {
            let all = dataset.captions(index);
            (0..all.len())
                .filter_map(|number| match fits(&all[number]) {
                    Ok(false) => None,
                    Ok(true) => Some(Ok(number)),
                    Err(error) => Some(Err(error)),
                })
                .collect::<anyhow::Result<Vec<usize>>>()
        });
        let part = Part::new(captions.collect::<anyhow::Result<Vec<_>>>()?);
        let asked = match origin {
            Origin::AnchorImages => "asks for the anchor, nor is there a `suffix` to ask for the concept with",
            _ => "asks for the concept within what the tokenizer keeps",
        };
        ensure!(!part.is_empty(), "none of the captions in {} {asked}", folder.display());
        let key = Key::of(&*dataset, &base.pipeline, base.side)?;
        let cached = match Cache::open(cache, &key) {
            Ok(cached) => cached,
            Err(_) => {
                printer.status("Encoding", folder.display());
                let options =
                    BuildOptions { resolution: base.side, device, overwrite: true, ..BuildOptions::default() };
                cache::build(&*dataset, &base.pipeline, cache, &options, &())?;
                Cache::open(cache, &key)?
            }
        };
        Ok(Self { dataset, part: Arc::new(part), cache: Arc::new(cached) })
    }

    fn batches(&self, (batch, seed): (usize, u64), position: Position) -> run::Result<Batches> {
        let options = CachedOptions { batch, seed, flip: false };
        let part = Some(self.part.clone());
        let loader = Box::new(CachedLoader::of_part(self.cache.clone(), part, options, position)?);
        Ok(Batches::Cached { loader, dataset: self.dataset.clone() })
    }
}
