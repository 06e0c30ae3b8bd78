"""Operations that keep almost nothing for backward; torch only."""
