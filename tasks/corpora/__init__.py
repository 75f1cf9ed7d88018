"""Corpora as tensorflow-datasets builders."""
