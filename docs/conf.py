"""How `make docs` builds the site: Sphinx reads this file. No page of it asks the network for anything."""

import os
import sys
from importlib.metadata import version as installed
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "_extensions")]
# For the notebooks: settings of their own, and `lexicell` is found.
os.environ.update(
    IPYTHONDIR=str(HERE / "_build" / "ipython"),
    PATH=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
    PYDEVD_DISABLE_FILE_VALIDATION="1",
    PYTHONWARNINGS="ignore:IProgress",  # no bar of progress in a page
)

project = "lexicell"
author = "The lexicell authors"
copyright = "the lexicell authors, Apache-2.0"  # noqa: A001 - Sphinx calls it so
version = release = installed("lexicell")

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "checked_pages",
    "command_line",
    "repository_links",
    "short_names",
]
exclude_patterns = ["_build", "_extensions", "_templates"]
templates_path = ["_templates"]
nitpicky = False
show_warning_types = True
suppress_warnings = ["config.cache"]

# Pages
myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 4
myst_links_external_new_tab = False

# Notebooks
nb_execution_mode = "cache"
nb_execution_cache_path = str(HERE / "_build" / "notebooks")
nb_execution_raise_on_error = True
nb_execution_in_temp = True
nb_execution_timeout = 600
nb_execution_show_tb = True
nb_merge_streams = True
nb_ipywidgets_js = {}  # nothing from a CDN

smartquotes = False  # they would spoil code in plain text

# Docstrings
autosummary_generate = True
autosummary_ignore_module_all = False
autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_class_signature = "mixed"
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_preprocess_types = False
default_role = "py:obj"
maximum_signature_line_length = 88
python_use_unqualified_type_names = True
toc_object_entries_show_parents = "hide"

# Looks
html_theme = "furo"
html_title = f"lexicell {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {"navigation_with_keys": True}
pygments_style = "friendly"
pygments_dark_style = "github-dark"
copybutton_exclude = ".linenos, .gp, .go"
