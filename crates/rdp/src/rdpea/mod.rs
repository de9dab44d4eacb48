//! MS-RDPEA.
