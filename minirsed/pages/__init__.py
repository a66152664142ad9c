"""What the pages of commands are made of: pictures, sounds, paragraphs, tables, and one look."""
