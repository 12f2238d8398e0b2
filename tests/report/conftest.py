import pytest
from contract_tree import write_tree


@pytest.fixture(scope="session")
def tree(tmp_path_factory):
    """A project with the outputs of every stage before register; read only."""
    return write_tree(tmp_path_factory.mktemp("tree"))
