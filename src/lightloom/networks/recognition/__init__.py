"""Networks that read: pictures of text to logits of symbols, column by column or place by place."""
