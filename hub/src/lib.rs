//! Hugging Face ids to local files.
