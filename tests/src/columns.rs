//! Tables as the programs print them.

use comfy_table::{Cell, CellAlignment, Table, presets};

/// Columns below their names. Columns whose name begins with `#` hold numbers.
pub fn columns(headers: &[&str], rows: &[Vec<String>]) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(headers.iter().map(|name| name.trim_start_matches('#')));
    for row in rows {
        table.add_row(row.iter().map(Cell::new));
    }
    for (column, name) in table.column_iter_mut().zip(headers) {
        column.set_padding((2, 0));
        if name.starts_with('#') {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.trim_fmt()
}
