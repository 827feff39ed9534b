"""Texts that are given because somebody named them: files, a project's rules, knowledge documents."""
