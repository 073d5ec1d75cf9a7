"""The documentation site: pages that are generated from the code, drawings, and the hooks that hand both to MkDocs."""
