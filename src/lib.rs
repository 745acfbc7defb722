//! `compose` turns a short manifest into a lock that pins every package by SHA-256, and a lock into a
//! root file system image that comes out bit for bit the same on every machine.
//!
//! The modules stand in the order data flows through them:
//!
//! | stage        | takes                        | gives                           | touches            |
//! |--------------|------------------------------|---------------------------------|--------------------|
//! | [`manifest`] | a YAML file and its includes | a [`manifest::Manifest`]        | files              |
//! | [`source`]   | the manifest's archives      | verified package indexes        | network, cache     |
//! | [`resolve`]  | manifest and indexes         | a [`lock::Lock`]                | nothing            |
//! | [`diff`]     | two locks, trees or builds   | what differs                    | nothing, or files  |
//! | [`fetch`]    | a lock                       | verified package files          | network, store     |
//! | [`import`]   | package files                | one ref per package             | store              |
//! | [`assemble`] | package refs                 | a configured tree               | store, sandbox     |
//! | [`check`]    | a configured tree            | what is wrong with it           | nothing            |
//! | [`finalize`] | a tree                       | `root.img` and other outputs    | output folder      |
//! | [`history`]  | a configured tree            | the next commit of a template   | store              |
//! | [`publish`]  | `root.img`                   | a template package              | output folder      |
//!
//! Things the stages use: [`package`] (what the package formats' manuals say), [`store`] (the ostree
//! repository), [`sandbox`] (namespaces), and the small modules at the end of the list.
//!
//! The library never prints, never exits, and reads neither environment nor clock except through
//! [`clock`]: the command line hands it everything it needs.

pub mod assemble;
pub mod check;
pub mod diff;
pub mod fetch;
pub mod finalize;
pub mod history;
pub mod import;
pub mod lock;
pub mod manifest;
pub mod package;
pub mod publish;
pub mod resolve;
pub mod sandbox;
pub mod source;
pub mod store;

pub mod arch;
pub mod artifact;
pub mod clock;
pub mod digest;
pub mod durable;
pub mod error;
pub mod process;
pub mod progress;
pub mod run_folder;
pub mod timing;
