//! One ref per package.
